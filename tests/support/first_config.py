"""Starts ``genenet init`` on small images in the current folder, and reads what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tifffile
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from click.testing import Result
    from numpy.typing import NDArray


def write(name: str, data: NDArray, **options: object) -> None:
    tifffile.imwrite(name, data, photometric="minisblack", **options)


def init(*options: object, fill: str = "") -> Result:
    words = ["init", "--device", "cpu", "--no-trial", *map(str, options)]
    return CliRunner().invoke(app, words, input=fill)


def pair(*options: object, fill: str = "") -> Result:
    return init("--image", "em.tif", "--labels", "labels.tif", *options, fill=fill)


def wrong(done: Result) -> list[str]:
    """The lines of the error; nothing may be written."""
    assert isinstance(done.exception, InputError), done.output
    assert not Path("config.yaml").exists()
    return str(done.exception).splitlines()


def said(done: Result) -> str:
    """What was printed, on one line; no line may be longer than 80 characters."""
    assert done.exception is None, done.output + repr(done.exception)
    assert max(map(len, done.output.splitlines())) <= 80, done.output
    return " ".join(done.output.split())
