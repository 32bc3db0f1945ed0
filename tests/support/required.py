"""What a test needs and may not have: it skips with a reason, or fails where continuous integration requires it."""

import os

import pytest

from tests.support.search import data_folder


def lacking(reason, variable):
    """Skip the test that needs something; fail it if the environment says that this must be there."""
    if os.environ.get(variable) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def require_data():
    """Return the folder with the real EM data."""
    folder = data_folder()
    if folder is None:
        lacking(
            "the real EM data is neither in ../shared/data nor in $GENENET_TEST_DATA", "GENENET_REQUIRE_DATA"
        )
    return folder
