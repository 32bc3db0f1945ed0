"""Times of stages add up, over threads and without what is nested in them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from genenet.networks import stage_times
from genenet.networks.stage_times import StageTimes


@pytest.fixture
def ticks(monkeypatch):
    """The clock of each thread advances by 1 whenever it is read."""
    of_thread = threading.local()

    def thread_time():
        of_thread.count = getattr(of_thread, "count", -1) + 1
        return of_thread.count

    monkeypatch.setattr(stage_times, "thread_time", thread_time)


def test_a_stage_does_not_count_what_is_nested_in_it(ticks):
    times = StageTimes()
    with times.of("combine"):  # read at 0 and 7
        with times.of("compute"):  # 1 and 2
            pass
        with times.of("compute"), times.of("normalise"):  # 3 and 6, 4 and 5
            pass
    assert times.seconds() == {"combine": 7 - 1 - 3, "compute": 1 + 3 - 1, "normalise": 1}
    with times.of("compute"):
        pass
    assert times.seconds()["compute"] == 4


def test_a_stage_that_fails_counts_too_and_ends(ticks):
    times = StageTimes()
    with pytest.raises(ValueError, match="broken"), times.of("combine"), times.of("compute"):
        raise ValueError("broken")
    with times.of("read"):
        pass
    assert times.seconds() == {"combine": 2, "compute": 1, "read": 1}


def spin(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_seconds_of_all_threads_are_those_of_their_cores_and_the_rest_is_what_no_stage_counts():
    times = StageTimes()

    def work(_):
        with times.of("compute"):
            spin(0.02)

    with times.rest("write"), ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(4)))
        spin(0.03)
    found = times.seconds()
    assert 0.08 <= found["compute"] < 0.2
    assert 0.03 <= found["write"] < 0.2


def test_a_long_segmentation_keeps_few_numbers_and_loses_no_second(ticks):
    times, kept = StageTimes(), []
    for _ in range(25):
        with times.of("combine"), times.of("compute"):
            pass
        kept.append(len(times._seconds))
    assert max(kept) < 4
    assert times.seconds() == {"combine": 50, "compute": 25}


def test_a_thread_can_measure_while_another_one_is_in_a_stage(ticks):
    times, other_has_ended = StageTimes(), threading.Event()

    def compute():
        with times.of("compute"):
            pass
        with times.of("wait"):
            assert other_has_ended.wait(10)
        return times.seconds()

    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(compute)
        with times.of("read"):
            pass
        other_has_ended.set()
        assert settled.result()["compute"] == 1
    assert times.seconds() == {"compute": 1, "read": 1, "wait": 1}
