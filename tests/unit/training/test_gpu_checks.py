"""benchmarks/gpu.py, which is tried on a CPU: the same program with small networks."""

import json
import subprocess
import sys
import time

import pytest
import torch

import gpu_checks
from gpu_run import Row, Run, rows_of
from tests.support.search import ROOT

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
PROGRAM = [sys.executable, str(ROOT / "benchmarks/gpu.py")]
PARTS = ["checks", "training", "packs", "segmentation", "tests"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
@pytest.mark.parametrize("check", gpu_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.slow
def test_a_device_computes_what_it_should(check, device):
    assert check(torch.device(device))


def test_a_check_that_fails_is_a_result():
    def broken(device):
        raise AssertionError(f"{device} differs")

    row = gpu_checks.checked(broken, torch.device("cpu"))
    assert row.failed
    assert row.note == "FAILED: AssertionError: cpu differs"


def test_checks_can_fail(monkeypatch):
    monkeypatch.setattr(gpu_checks, "TOLERANCES", {"bfloat16": 1e-9})
    monkeypatch.setattr(gpu_checks, "ALIKE", 1.1)
    for check in (gpu_checks.forward_is_that_of_the_cpu, gpu_checks.training_is_that_of_the_cpu):
        assert gpu_checks.checked(check, torch.device("cpu")).failed


def test_a_row_is_one_line():
    row = Row("end to end", 120.0, "Mvoxel/s", 0.93, "the bare networks", 0.9, "write 1 s")
    text = "end to end 120 Mvoxel/s 0.93 of the bare networks (aim: 0.9) write 1 s"
    assert " ".join(row.text.split()) == text


MODULE = """
import subprocess, time
from gpu_run import Row

def rows(run):
    yield Row("first", 1.0, "s")
    {then}
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The server that parts are forked from has started, which takes seconds."""
    rows_of("no_such_part", Run("cpu", 60.0), tmp_path_factory.mktemp("started") / "rows.jsonl")


@pytest.mark.process
@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("then", "failed", "said"),
    [
        ("subprocess.run(['sleep', '1000'])", False, "it had 8 s; later results are missing"),
        ("raise ValueError('no driver')", True, "ValueError: no driver"),
        ("__import__('os').abort()", True, "exit code -6"),
    ],
)
def test_a_part_keeps_to_its_time_and_what_it_found_is_kept(then, failed, said, tmp_path, monkeypatch):
    (tmp_path / "some_part.py").write_text(MODULE.format(then=then))
    monkeypatch.syspath_prepend(tmp_path)
    began = time.monotonic()
    first, last = rows_of("some_part", Run("cpu", 8.0), tmp_path / "rows.jsonl")
    assert time.monotonic() - began < 30
    assert first == Row("first", 1.0, "s")
    assert last.failed == failed
    assert said in last.note


@pytest.mark.process
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_ends_with_one_line():
    done = subprocess.run(PROGRAM, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("no GPU: torch ")


@pytest.mark.process
@pytest.mark.slow
def test_the_whole_program_keeps_to_its_minutes_on_a_cpu(tmp_path):
    began = time.monotonic()
    command = [*PROGRAM, "--device", "cpu", "--minutes", "2", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 200  # two minutes, and the imports before on a busy machine
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["is_trial"]
    assert list(found["results"]) == PARTS
    assert all(found["results"].values()), found
    assert "a trial on a CPU: the figures mean nothing" in done.stdout
    assert done.stdout.count("| forward is that of the cpu |") == 1
