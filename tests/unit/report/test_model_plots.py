"""The report's plots of a surrogate model, and their place in the page."""

from pathlib import Path

import numpy as np
import pytest
from bokeh.models import HBar, Scatter

from genenet.genes.genome import Genome
from genenet.genes.prediction import PredictedScore
from genenet.report import model_plots, plot_style
from genenet.search.importance import Importance, WhatMatters
from genenet.training.outcome_reader import read_outcomes
from tests.support.results import Search, ok


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Thirty networks in three rounds; the scores follow the number of kernels."""
    monkeypatch.setattr(plot_style, "code", lambda: "")
    runs = {f"r{i // 10}/{i % 10:03d}": ok(0.5 + i / 100) for i in range(30)}
    made = Search(tmp_path, runs=runs, n_members=2)
    made.write()
    for index, run in enumerate(list(runs)[10:], start=10):
        said = PredictedScore(metric="ari", mean=0.6 + index / 200, deviation=0.05)
        values = {"n_convkernels": 4 + index, "norm": index % 2, "n_stacks": 1, "input_size": 60}
        Genome(run, {"net": values}, prediction=said).write(Path(made.paths.genome(run)))
    return made


def glyphs(plot, kind):
    return [r.data_source.data for r in plot.renderers if isinstance(r.glyph, kind)]


def test_a_dot_for_each_predicted_genome(search):
    outcomes = read_outcomes(search.paths, list(search.runs))
    (data,) = glyphs(model_plots.predicted_and_real(outcomes, "ari"), Scatter)
    assert len(data["x"]) == 20
    place = data["run"].index("r1/000")
    assert (data["x"][place], data["y"][place]) == (pytest.approx(0.65), pytest.approx(0.6))
    assert data["high"][place] - data["low"][place] == pytest.approx(0.1)
    first = [run for run in outcomes if run.run.startswith("r0/")]
    assert model_plots.predicted_and_real(first, "ari") is None
    assert model_plots.predicted_and_real(outcomes, "mean_iou") is None


def test_the_longest_bar_is_on_top_and_none_is_negative():
    of = [Importance("a", 0.1, 0.05), Importance("b", 0.01, 0.02), Importance("c", -0.01, 0.001)]
    plot = model_plots.importance_bars(WhatMatters(30, 0.5, 0.1, tuple(of)), "ari")
    (data,) = glyphs(plot, HBar)
    assert plot.y_range.factors == ["c", "b", "a"]
    assert data["mean"] == [0.1, 0.01, 0.0]
    assert np.allclose(data["low"], [0.05, 0.0, 0.0])
    assert model_plots.importance_bars(None, "ari") is None


def test_the_page_explains_both(search):
    page = search.page()
    assert "predicts the ARI of each of the 30 networks" in page.text
    assert "before they were trained: rank correlation with the real scores 1.00, mean error 0.0" in page.text
    assert "(20 genomes)" in page.text
    assert {"#importance", "#predicted"} <= {link["href"] for link in page.all("a")}


def test_a_page_of_few_networks_has_neither(tmp_path, monkeypatch):
    monkeypatch.setattr(plot_style, "code", lambda: "")
    search = Search(tmp_path)
    search.write()
    page = search.page()
    assert "hyperparameters matter" not in page.text
    assert "surrogate" not in page.text
    assert not {"#importance", "#predicted"} & {link["href"] for link in page.all("a")}
