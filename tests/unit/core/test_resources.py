"""What a process may use."""

import pytest

from genenet.core import resources
from genenet.init.machine import threads_of_each


@pytest.mark.parametrize(
    ("wanted", "cores", "memory", "expected"),
    [
        (None, 8, 100e9, 8),
        (None, 8, 3.5e9, 3),  # each may take 1 GB
        (2, 8, 100e9, 2),
        (16, 8, 100e9, 8),  # never more than there are: results don't depend on the number
        (4, 8, 0.2e9, 1),
    ],
)
def test_threads_fit_cores_and_memory(monkeypatch, wanted, cores, memory, expected):
    monkeypatch.setattr(resources, "cores_of_job", lambda: cores)
    monkeypatch.setattr(resources, "available_memory", lambda: memory)
    assert resources.threads_that_fit(wanted, 1e9) == expected


def test_a_slurm_job_uses_no_more_cores_than_it_has_asked_for(monkeypatch):
    monkeypatch.setattr(resources, "available_cores", lambda: 8)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert resources.cores_of_job() == 8
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert resources.cores_of_job() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "16")
    assert resources.cores_of_job() == 8


@pytest.mark.parametrize(
    ("cores", "memory", "expected"), [(2, 8e9, 1), (64, 256e9, 1), (64, 64e9, 2), (4, 1e9, 4)]
)
def test_trainings_of_one_thread_run_side_by_side_if_memory_allows(cores, memory, expected):
    assert threads_of_each(cores, memory) == expected
