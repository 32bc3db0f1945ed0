import os
import sys

import pytest

from tests.support import examples

# two workers share two cores: one thread each, unless a test asks for more
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
# threads that wait for each other sleep: by default they compute for nothing, on cores that others need
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

examples.register()


@pytest.fixture(autouse=True)
def same_environment():
    """Put the environment back after each test: commands set variables for the processes that they start."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def one_thread():
    """Put torch's number of threads back after each test, if torch is imported.

    A second thread that a test left would make each later training many times slower: for every small operation, both
    threads wait for each other, and there are fewer cores than threads.
    """
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(THREADS)
