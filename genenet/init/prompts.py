"""What ``genenet init`` asks for in a terminal; without a terminal, any missing value is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from genenet.core.errors import InputError
from genenet.init.request import new_config
from genenet.volumes.formats import format_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genenet.init.request import Request

Answer = TypeVar("Answer")

IMAGE = f"abelled image ({format_names()}, or a folder of slices)"


def is_terminal() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(text: str, default: str, read: Callable[[str], Answer]) -> Answer:
    """Ask until ``read`` accepts the answer; return what it makes of it."""
    while True:
        answer = str(typer.prompt(text, default=default, show_default=bool(default))).strip()
        try:
            return read(answer)
        except InputError as error:
            print(f"  {error}")


def ask_path(text: str) -> Path | None:
    """Ask for an existing file or folder; None if nothing is typed."""
    return ask(text, "", _existing)


def _existing(answer: str) -> Path | None:
    path = Path(answer.strip("'\"")).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return path if answer else None


def ask_output(request: Request, interactive: bool) -> Path:
    """Return where the config goes.

    Raises:
        InputError: If there is such a file already and ``--force`` isn't given, or the name isn't one of YAML.
    """
    out = request.out or Path("config.yaml")
    if request.force:
        return out
    if request.out is None and out.exists() and interactive:
        print(f"{out} exists already.")
        return ask("Config file to write", "mine.yaml", new_config)
    return new_config(str(out))


def ask_files(request: Request, interactive: bool) -> Request:
    """Ask for images, labels and a volume to segment, if they are missing.

    Raises:
        InputError: If a file is missing and nobody can be asked, or if there are more labels than images.
    """
    images, labels, volumes = list(request.image), list(request.labels), list(request.segment)
    if not images:
        if not interactive:
            raise _missing("--image", f"a l{IMAGE}")
        _ask_images(images, labels)
        if not volumes:
            volume = ask_path("Volume to segment with the result (Enter: the labelled image)")
            volumes = [volume] if volume else []
    labels = _complete(images, labels, "", interactive)
    of_validation = _complete(request.validation_image, request.validation_labels, "validation-", interactive)
    found = {"image": images, "labels": labels, "validation_labels": of_validation, "segment": volumes}
    return request.model_copy(update=found)


def _ask_images(images: list[Path], labels: list[Path]) -> None:
    """Ask for images with their labels, until nothing is typed; at least one image is needed."""
    while True:
        image = ask_path("Another labelled image (Enter: no more)" if images else f"L{IMAGE}")
        if image is not None:
            images.append(image)
            labels[:] = _complete(images, labels, "", True)
        elif images:
            return


def _complete(images: Sequence[Path], labels: Sequence[Path], which: str, interactive: bool) -> list[Path]:
    """Return a file of labels for each image; ``which`` begins the names of both options."""
    option = f"--{which}labels"
    if len(labels) > len(images):
        raise InputError(
            f"{option}: {len(labels)} are given for {len(images)} of --{which}image; give both in the same order"
        )
    found = list(labels)
    for image in images[len(labels) :]:
        if not interactive:
            raise _missing(option, f"the class ids of {image}, an integer image of the same shape")
        path = None
        while path is None:
            path = ask_path(f"Labels of {image} (class ids, same shape)")
        found.append(path)
    return found


def _missing(option: str, what: str) -> InputError:
    return InputError(f"{option}: is missing: {what}; without a terminal, this option is needed")
