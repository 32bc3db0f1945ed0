"""Work in threads: in order, a few results at a time, and what happens after an error."""

import threading
import time

import pytest

from genenet.core.in_threads import in_threads


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_order(n_threads):
    def slowest_first(item):
        time.sleep(0.002 * (10 - item))
        return item**2

    assert list(in_threads(slowest_first, range(10), n_threads)) == [(i, i**2) for i in range(10)]


def test_no_more_results_wait_than_there_are_threads():
    begun = []
    results = in_threads(begun.append, range(10), 3)
    assert not begun
    next(results)
    assert len(begun) <= 3
    assert len(list(results)) == 9


def test_work_is_done_side_by_side():
    meeting = threading.Barrier(2, timeout=20)
    assert len(list(in_threads(lambda _: meeting.wait(), range(2), 2))) == 2


def test_an_error_comes_where_its_result_would_have_and_nothing_more_begins():
    begun, got = [], []

    def fail_at_3(item):
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        got.extend(item for item, _ in in_threads(fail_at_3, range(100), 2))
    assert got == [0, 1, 2]
    assert len(begun) <= 6
