"""The exact version of genenet's source: it must be the same in a launcher and in the image that its jobs run in."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from genenet.core.errors import InputError

__version__ = "0.1.0"
LAUNCHER = "GENENET_LAUNCHER"  # set by the workflow for the commands of its jobs


def build() -> str:
    """Return the version and the first digits of the checksum of the package's files."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".j2", ".js", ".yaml"):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{__version__} (source {digest.hexdigest()[:8]})"


def container_image() -> str | None:
    """Return the image of the container that this process runs in; None outside of containers."""
    return os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")


def announce_launcher() -> None:
    """Pass the version of this genenet to the commands that this process starts, wherever they run."""
    os.environ[LAUNCHER] = build()


def check_launcher() -> None:
    """Raise InputError in an image if a workflow of another version of genenet started this command."""
    launcher, image = os.environ.get(LAUNCHER), container_image()
    if image and launcher and launcher != build():
        raise InputError(
            f"the image {image} holds genenet {build()}, the launcher is {launcher}: "
            "build the image again (make container)"
        )
