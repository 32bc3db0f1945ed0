"""What ``genenet init`` asks for in a terminal; where there is none, what is missing is an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from genenet.core.errors import InputError
from genenet.volumes.formats import format_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genenet.config.types import VoxelSize


def is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def missing(option: str, what: str) -> InputError:
    """Return the error where nobody can be asked."""
    return InputError(f"{option}: is missing: {what}; without a terminal it has to be given")


def ask_path(text: str, optional: bool = False) -> Path | None:
    """Ask for a file or folder until it is one; None if ``optional`` and nothing is typed."""
    while True:
        answer = typer.prompt(text, default="" if optional else None, show_default=False).strip().strip("'\"")
        path = Path(answer).expanduser()
        if not answer and optional:
            return None
        if answer and path.exists():
            return path
        print(f"  {path}: no such file or folder")


def ask_until(text: str, default: str, read: Callable[[str], object]) -> str:
    """Ask until ``read`` takes the answer."""
    while True:
        answer = str(typer.prompt(text, default=default)).strip()
        try:
            read(answer)
        except InputError as error:
            print(f"  {error}")
        else:
            return answer


def ask_number(text: str, default: int) -> int:
    """Ask for a number above 0."""
    return int(ask_until(text, str(default), read_number))


def read_number(text: str) -> int:
    """Read a number above 0; raises InputError."""
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{text}: give a number above 0")
    return int(text)


def read_voxel_size(text: str) -> VoxelSize:
    """Read nm along z, y, x, such as 40x10x10, or one number for all axes; raises InputError."""
    parts = re.split(r"[x×,\s]+", text.strip())
    try:
        sizes = [float(part) for part in parts]
    except ValueError:
        sizes = []
    if len(sizes) == 1:
        sizes *= 3
    if len(sizes) != 3 or not all(0 < n < float("inf") for n in sizes):
        raise InputError(f"--voxel-size {text}: give nm along z, y, x, such as 40x10x10")
    return sizes[0], sizes[1], sizes[2]


def read_names(text: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in text.split(",")]


def complete_pairs(images: Sequence[Path], labels: Sequence[Path], option: str, asks: bool) -> list[Path]:
    """Return one labels file for each image, asking for those that are missing.

    Raises:
        InputError: If there are more labels than images, or fewer and nobody can be asked.
    """
    image_option, labels_option = f"--{option}image", f"--{'validation-' if option else ''}labels"
    if len(labels) > len(images):
        raise InputError(
            f"{labels_option}: {len(labels)} are given for {len(images)} of {image_option}; give both in the same order"
        )
    found = list(labels)
    for image in images[len(labels) :]:
        if not asks:
            raise missing(labels_option, f"the class ids of {image}, an integer image of the same shape")
        path = ask_path(f"Labels of {image} (class ids, same shape)")
        assert path is not None
        found.append(path)
    return found


def ask_images() -> tuple[list[Path], list[Path]]:
    """Ask for images with their labels, until there are no more."""
    images: list[Path] = []
    labels: list[Path] = []
    what = f"Labelled image ({format_names()}, or a folder of slices)"
    while (image := ask_path(what, optional=bool(images))) is not None:
        images.append(image)
        labels = complete_pairs(images, labels, "", True)
        what = "Another labelled image (Enter: no more)"
    return images, labels
