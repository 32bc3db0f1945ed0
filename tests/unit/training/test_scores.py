import json
import time
from pathlib import Path

import pytest
import torch

from genenet.core.errors import InputError
from genenet.metrics.table import METRICS
from genenet.training.outcome_files import Began
from genenet.training.scores import Scores, read_scores, scores_of

VERSION_0_1 = Path(__file__).parents[2] / "data" / "version_0.1" / "search" / "runs"
RUNS = ["r0/000", "r0/001", "baselines/unet2015"]


@pytest.mark.parametrize("run", RUNS)
def test_scores_of_version_0_1_are_read_and_keep_all_that_they_say(run: str) -> None:
    path = VERSION_0_1 / run / "scores.json"
    values = json.loads(path.read_text())
    scores = read_scores(path)
    assert scores.is_ok
    assert scores.ari == values["validation"]["ari"]
    assert scores.prediction is not None
    assert scores.prediction.voxels == 6400
    written = scores.model_dump(mode="json")
    assert {name: written[name] for name in values} == values


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    scores = Scores(
        name="r0_003", genome="0" * 12, volumes=["a.tif"], status="diverged", reason="the loss was nan"
    )
    scores.write(tmp_path / "scores.json")
    assert read_scores(tmp_path / "scores.json") == scores
    assert scores.ari is None


def test_an_undefined_ari_is_none() -> None:
    scores = scores_of({"status": "ok", "validation": {"ari": None}}, "scores.json")
    assert scores.ari is None
    assert scores.validation is not None
    assert set(scores.validation.metrics) == set(
        METRICS
    )  # none of those that the file doesn't name is invented
    assert set(scores.validation.metrics.values()) == {None}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "s.json: input should be a valid dictionary or instance of Scores, not []"),
        ({}, "s.json: status: is missing"),
        ({"status": "ok"}, "s.json: status is ok, but validation is missing"),
        ({"status": "failed", "resaon": "x"}, "s.json: resaon: unknown key; did you mean reason?"),
        ({"status": "failed", "format": "genenet.scores/9"}, "s.json: format: input should be 'genenet.scores/1'"),
        ({"status": "ok", "validation": {"arii": 1}}, "s.json: validation.arii: unknown key"),
        ({"status": "ok", "validation": {"ari": "x"}}, "s.json: validation.metrics.ari: input should be"),
    ],
)  # fmt: skip
def test_other_contents_are_refused_with_one_line(values: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        scores_of(values, "s.json")
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_time_on_a_cpu_leaves_out_what_the_process_waits_for() -> None:
    """A moment 100 s ago by the clock, of which the process has computed hardly any."""
    began = Began(wall=time.monotonic() - 100, processor=time.process_time() - 2)
    assert 2 <= began.seconds(torch.device("cpu")) < 90
    assert began.seconds(torch.device("meta")) >= 100
