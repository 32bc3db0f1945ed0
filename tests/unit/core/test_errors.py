import pytest

from genenet.core.errors import InputError, describe


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (IsADirectoryError(21, "Is a directory", "results"), "results: is a directory"),
        (PermissionError(13, "Permission denied", "/data/a.tif"), "/data/a.tif: permission denied"),
        (OSError("Broken pipe"), "Broken pipe"),
        (InputError("a.tif: no such file"), "a.tif: no such file"),
        (RuntimeError("two\nlines"), "two lines"),
    ],
)
def test_an_error_is_one_line_that_begins_with_the_file(error, text):
    assert describe(error) == text


def test_a_full_disk_says_what_to_do():
    message = describe(OSError(28, "No space left on device", "results/a"))
    assert message.startswith("no space left on the device for results/a; free some")
