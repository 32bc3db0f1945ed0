"""A part of benchmarks/gpu.py: the tests that are marked ``gpu``, if pytest is installed."""

import re
import subprocess
import sys
from importlib.util import find_spec

from bench_tools import ROOT
from gpu_run import Row

NEEDED = ("pytest", "hypothesis")
FILES = ("tests/unit/networks/test_gpu.py", "tests/unit/training")  # where such tests are


def rows(run):
    """Yield one row: how many tests passed and failed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        yield Row("tests marked gpu", note=f"skipped: {', '.join(missing)} not installed")
        return
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        *(FILES[:1] if run.is_trial else FILES),
    ]
    command += ["--collect-only"] if run.is_trial else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [
        line
        for line in done.stdout.splitlines()
        if re.search(r"\d+ (passed|failed|tests? collected)|/\d+ tests", line)
    ]
    note = lines[-1].strip("= ") if lines else done.stdout[-300:]
    yield Row("tests marked gpu", note=note, failed=done.returncode != 0)
