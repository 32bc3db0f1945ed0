import os

import pytest

from tests.support import examples

# two workers share two cores: one thread each, unless a test asks for more
os.environ.setdefault("OMP_NUM_THREADS", "1")

examples.register()


@pytest.fixture(autouse=True)
def same_environment():
    """Put the environment back after each test: commands set variables for the processes that they start."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
