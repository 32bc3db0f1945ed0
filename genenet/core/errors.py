"""The errors that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where (file, key or path), and what would be right.

    The command line prints it without a traceback and exits with ``status``.
    """

    status = 1


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Begin the message of an InputError with ``where``, such as the file, unless it does already."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise type(error)(text if text.startswith(str(where)) else f"{where}: {text}") from None


def one_line(error: BaseException) -> str:
    """Return another library's message on one line, not too long."""
    return " ".join(str(error).split())[:200] or type(error).__name__
