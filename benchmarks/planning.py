"""How long Snakemake plans a search of many genomes, beside one of few.

python benchmarks/planning.py [1000]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 3


def seconds(n_genomes, profile):
    """Return the shortest wall time of ``snakemake -n`` in an empty folder."""
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "more.yaml"
            config.write_text(f"search: {{n_genomes: {n_genomes}}}\n")
            command = [sys.executable, "-m", "snakemake", "--dry-run"]
            options = ["--snakefile", ROOT / "workflow/Snakefile", "--profile", ROOT / "profiles" / profile]
            files = ["--configfile", ROOT / "config.yaml", config]
            began = time.monotonic()
            subprocess.run([*command, *options, *files], cwd=folder, check=True, capture_output=True)
            times.append(time.monotonic() - began)
    return min(times)


def main():
    """Print the table."""
    n_genomes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for profile in ("local", "slurm"):
        few = seconds(6, profile)
        for n in (6, 80, n_genomes):
            time_ = few if n == 6 else seconds(n, profile)
            print(f"profiles/{profile:6} {n:5} genomes {time_:6.2f} s   {time_ / few:5.2f} of 6 genomes")


if __name__ == "__main__":
    main()
