"""How soon commands answer that need no torch, beside Python itself and an import of torch.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7


def seconds(command):
    """Return the median wall time of some runs, after one to warm up."""
    times = []
    for _ in range(RUNS + 1):
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - began)
    return statistics.median(times[1:])


def main():
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "generate.json"
        settings.write_text(
            '{"seed": 1, "regions": {"net": {"n_convkernels": [30, 110], "n_stacks": [1, 4]}}}'
        )
        genenet = [sys.executable, "-m", "genenet"]
        genome = ["--settings", settings, "--index", "0", "--out", folder / "genome.json"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "genenet --help": [*genenet, "--help"],
            "genenet generate": [*genenet, "generate", *genome],
            "genenet inspect --json": [*genenet, "inspect", folder / "genome.json", "--json"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        }
        times = {what: seconds(command) for what, command in commands.items()}
    torch = times["python -c 'import torch'"]
    for what, time_ in times.items():
        print(f"{what:26} {time_:6.2f} s   {time_ / torch:5.2f} of importing torch")


if __name__ == "__main__":
    main()
