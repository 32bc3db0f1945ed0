"""Times of stages add up, over threads and without what is nested in them."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from genenet.networks import stage_times
from genenet.networks.stage_times import StageTimes


class Ticks:
    """A clock that advances by 1 whenever it is read."""

    def __init__(self):
        self.now = itertools.count().__next__

    def between(self, start, end):
        return end - start


def test_a_stage_does_not_count_what_is_nested_in_it():
    times = StageTimes(Ticks())
    with times.of("combine"):  # read at 0 and 7
        with times.of("compute"):  # 1 and 2
            pass
        with times.of("compute"), times.of("normalise"):  # 3 and 6, 4 and 5
            pass
    assert times.settle() == {"combine": 7 - 1 - 3, "compute": 1 + 3 - 1, "normalise": 1}
    with times.of("compute"):
        pass
    assert times.settle()["compute"] == 4


def test_a_stage_that_fails_counts_too_and_ends():
    times = StageTimes(Ticks())
    with pytest.raises(ValueError, match="broken"), times.of("combine"), times.of("compute"):
        raise ValueError("broken")
    with times.of("read"):
        pass
    assert times.settle() == {"combine": 2, "compute": 1, "read": 1}


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
    found = times.settle()
    assert 0.08 <= found["compute"] < 0.2
    assert 0.03 <= found["write"] < 0.2


def test_a_long_segmentation_keeps_few_spans_and_loses_no_second(monkeypatch):
    monkeypatch.setattr(stage_times, "MOST", 4)
    times, kept = StageTimes(Ticks()), []
    for _ in range(25):
        with times.of("combine"), times.of("compute"):
            pass
        kept.append(len(times._ended))
    assert max(kept) < 4
    assert times.settle() == {"combine": 50, "compute": 25}


def test_a_thread_can_measure_while_another_one_waits_for_the_clock():
    class SlowClock(Ticks):
        """Its seconds are known only after another stage has ended."""

        def between(self, start, end):
            assert other_has_ended.wait(10)
            return end - start

    times, other_has_ended = StageTimes(SlowClock()), threading.Event()
    with times.of("compute"):
        pass
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(times.settle)
        with times.of("read"):
            pass
        other_has_ended.set()
        assert settled.result()["compute"] == 1
    assert times.settle() == {"compute": 1, "read": 1}
