"""Errors that end a command with one line instead of a traceback."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from genenet.core import exit_codes


class InputError(ValueError):
    """An error caused by user input: one line that says what is wrong, where (file, key or path), and what is right.

    The command line prints it without a traceback and exits with ``status``.
    """

    status = exit_codes.FAILED


class MachineError(RuntimeError):
    """The machine can't do what another machine could: no GPU is seen, too few cores, a full disk, a driver error.

    The command line prints it without a traceback and exits with ``status``; the same job may succeed elsewhere.
    """

    status = exit_codes.MACHINE


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Begin the message of an InputError with ``where``, such as the file, unless it already begins so."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(where)) else f"{where}: {text}") from None


def one_line(error: BaseException) -> str:
    """Return another library's message on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def describe(error: BaseException) -> str:
    """Return the message of an error that ends a command; for a full disk it says what to do."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" for {error.filename}" if error.filename else ""
        return f"no space left on the device{where}; free some or choose another results: folder, then run it again"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error) if isinstance(error, InputError | MachineError | OSError) else one_line(error)
