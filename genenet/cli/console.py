"""What all commands have in common: errors as one line, ``--debug``, ``--log FILE``."""

from __future__ import annotations

import io
import logging
import os
import shlex
import socket
import sys
import traceback
from contextlib import contextmanager, redirect_stderr, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from genenet.core import exit_codes
from genenet.core.errors import InputError, MachineError, describe
from genenet.core.logs import as_error
from genenet.core.version import check_launcher, container_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def run(app: Callable[..., object]) -> None:
    """Run a command-line application; errors caused by user input are one line, without a traceback."""
    try:
        debug, log, arguments = take_common_options(sys.argv[1:])
    except InputError as error:
        _fail(str(error))
    with _logged(log, arguments):
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our one line says what it finds wrong
        try:
            check_launcher()
            app(args=arguments, prog_name="genenet")
        except (InputError, MachineError, OSError) as error:
            if debug:
                traceback.print_exc()
            _fail(describe(error), getattr(error, "status", 1))
        except KeyboardInterrupt:
            print("genenet: stopped", file=sys.stderr)
            sys.exit(exit_codes.INTERRUPTED)
        except Exception:
            traceback.print_exc()
            _fail("this is a bug in genenet; please report it with the lines above")


def take_common_options(arguments: list[str]) -> tuple[bool, Path | None, list[str]]:
    """Return whether ``--debug`` is given, the file of ``--log FILE`` or ``--log=FILE``, and all other arguments.

    They are taken before typer reads the line: the log also holds the errors of that reading, and the message of
    an image that belongs to another launcher and may not know the command at all.
    """
    debug, log, others = False, None, list[str]()
    words = iter(arguments)
    for word in words:
        if word == "--":  # whatever follows is a name, such as a file called --log
            others += [word, *words]
        elif word == "--debug":
            debug = True
        elif word == "--log":
            log = next(words, "")
        elif word.startswith("--log="):
            log = word.removeprefix("--log=")
        else:
            others.append(word)
    if log == "":
        raise InputError("--log: name a file, as in --log messages.log")
    return debug, Path(log) if log else None, others


@contextmanager
def _logged(path: Path | None, arguments: list[str]) -> Iterator[None]:
    """Also append everything that goes to standard error to a file, after the output of earlier attempts."""
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        print(f"{path}: no log can be written ({error})", file=sys.stderr)
        yield
        return
    job = f", Slurm job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    image = f", in {image}" if (image := container_image()) else ""
    both = _Both(sys.stderr, file)
    both.log(f"--- {now}, {socket.gethostname()}{job}{image}: genenet {shlex.join(arguments)[:500]}\n")
    try:
        with redirect_stderr(both):
            yield
    finally:
        with suppress(OSError):  # the disk may be full
            file.close()


@contextmanager
def also_logged(path: Path) -> Iterator[None]:
    """Also write everything that goes to standard error, logging included, to one more file."""
    handlers = [h for h in logging.root.handlers if isinstance(h, logging.StreamHandler)]
    with _logged(path, sys.argv[1:]):
        before = [handler.setStream(sys.stderr) for handler in handlers]
        try:
            yield
        finally:
            for handler, stream in zip(handlers, before, strict=True):
                handler.setStream(stream or sys.stderr)


class _Both(io.TextIOBase):
    """A stream that also writes to a log, line by line. A log that can't be written, on a full disk, ends nothing."""

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self.stream, self.file = stream, file

    def write(self, text: str) -> int:
        self.stream.write(text)
        self.stream.flush()
        self.log(text)
        return len(text)

    def log(self, text: str) -> None:
        """Write to the log alone."""
        with suppress(OSError):
            self.file.write(text)
            self.file.flush()


def _fail(message: str, status: int = 1) -> NoReturn:
    print(as_error(message), file=sys.stderr)
    sys.exit(status)
