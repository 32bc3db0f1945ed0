"""How long Snakemake plans a search of many genomes, beside one of few, and its peak memory.

python benchmarks/planning.py [1000 10000]
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from bench_tools import ROOT, SNAKEMAKE, parser

FEW = (6, 80)
SHORT = 1000  # up to this number of genomes the fastest of three runs counts, above it a single run


def plan(n_genomes, profile):
    """Plan in an empty folder; return the wall time in s and the peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "more.yaml"
        config.write_text(f"search: {{n_genomes: {n_genomes}}}\n")
        options = ["--snakefile", ROOT / "workflow/Snakefile", "--profile", ROOT / "profiles" / profile]
        command = [*SNAKEMAKE, "--dry-run", *options, "--configfile", ROOT / "config.yaml", config]
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return time.monotonic() - began, usage.ru_maxrss / 1024


def main():
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("n_genomes", nargs="*", type=int, default=[1000, 10_000])
    many = arguments.parse_args().n_genomes
    for profile in ("local", "slurm"):
        first = None
        for n in (*FEW, *many):
            seconds, memory = min(plan(n, profile) for _ in range(3 if n <= SHORT else 1))
            first = first or seconds
            ratio = f"{seconds / first:6.2f} of {FEW[0]} genomes"
            line = f"profiles/{profile:6} {n:6} genomes {seconds:7.2f} s  {ratio}  {memory:5.0f} MiB"
            print(line, flush=True)


if __name__ == "__main__":
    main()
