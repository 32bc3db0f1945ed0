"""What the jobs of a search need from their launcher: environment variables, and a Snakemake that works."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from genenet.core.errors import InputError
from genenet.core.version import announce_launcher

SNAKEMAKE = "9.26.1"  # the oldest that works
WHY = "9.16.3 to 9.19 read the runtime of a profile as seconds instead of minutes, and others repeat finished jobs"


def set_up_jobs() -> None:
    """Set the environment variables that this process passes to its jobs, wherever they run."""
    announce_launcher()
    commands = str(Path(sys.executable).parent)  # found also if this Python's environment isn't activated
    os.environ["PATH"] = os.pathsep.join([commands, os.environ.get("PATH", os.defpath)])
    os.environ["PYTHONSAFEPATH"] = "1"  # python -m doesn't import a user's random.py from the current folder
    # Snakemake keeps a cache, by default below HOME, which compute nodes may lack or mount read-only
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.cwd() / ".snakemake" / "cache"))


def check_snakemake(version: str) -> None:
    """Raise InputError for a version of Snakemake that is too old."""
    if is_too_old(version):
        raise InputError(f"Snakemake {version} is too old ({WHY}); pip install 'snakemake>={SNAKEMAKE}'")


def is_too_old(version: str) -> bool:
    """Whether a version of Snakemake is older than the oldest that works."""
    return _numbers(version) < _numbers(SNAKEMAKE)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def home_problem() -> str:
    """Return why Snakemake can't keep its cache, in one line; empty if it can."""
    if "XDG_CACHE_HOME" in os.environ or "HOME" not in os.environ:
        return ""
    cache = Path(os.environ["HOME"]) / ".cache" / "snakemake"
    folder = next(path for path in (cache, *cache.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError:
        return f"{folder} isn't writable, and Snakemake keeps its cache in {cache}"
