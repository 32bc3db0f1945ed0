"""How long Snakemake plans a search of many genomes, beside one of few, and how much memory it takes.

python benchmarks/planning.py [1000 10000]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FEW = (6, 80)
SHORT = 1000  # genomes up to which the shortest of three runs counts; of more, one run


def plan(n_genomes, profile):
    """Plan in an empty folder; return wall time in s, and peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "more.yaml"
        config.write_text(f"search: {{n_genomes: {n_genomes}}}\n")
        command = [sys.executable, "-m", "snakemake", "--dry-run"]
        options = ["--snakefile", ROOT / "workflow/Snakefile", "--profile", ROOT / "profiles" / profile]
        files = ["--configfile", ROOT / "config.yaml", config]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, *options, *files], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return time.monotonic() - began, usage.ru_maxrss / 1024


def main():
    """Print the table."""
    many = [int(n) for n in sys.argv[1:]] or [1000, 10_000]
    for profile in ("local", "slurm"):
        first = None
        for n in (*FEW, *many):
            seconds, memory = min(plan(n, profile) for _ in range(3 if n <= SHORT else 1))
            first = first or seconds
            ratio = f"{seconds / first:6.2f} of {FEW[0]} genomes"
            print(
                f"profiles/{profile:6} {n:6} genomes {seconds:7.2f} s  {ratio}  {memory:5.0f} MB", flush=True
            )


if __name__ == "__main__":
    main()
