"""A real small file system that can be filled to the last byte."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def small_disk(folder, megabytes):
    """Mount an empty file system of so many MB at ``folder``; skip the test where that isn't allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system can't be mounted here: {error}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, spare_bytes=0):
    """Write a file that leaves so many bytes free; return its path."""
    ballast = folder / "ballast"
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_bsize - spare_bytes
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    return ballast
