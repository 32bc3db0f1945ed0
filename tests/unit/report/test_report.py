"""The report is made from a small results folder written by hand; it must survive whatever is missing."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from genenet import __version__
from genenet.cli.summary import print_summary
from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.paths import RunPaths
from genenet.ensembles.description import CalibrationEntry, StrategyEntry
from genenet.ensembles.ranking import read_runs
from genenet.genes.layer_parts import NORMS
from genenet.metrics.table import METRICS
from genenet.report import figures, matrix_plots, network_plots, plot_style, plots, report, volume_sections
from genenet.report.priced import PricedEnsemble, priced_ensembles
from genenet.training.outcomes import Outcome
from genenet.training.scores import Scores
from genenet.volumes.palette import class_colours
from tests.support.results import CLASSES, FAILED, HOSTILE, SCORES, SHAPE, Page, Search, ok


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A search for tests that don't look at its plots, whose code is most of a page."""
    monkeypatch.setattr(plot_style, "code", lambda: "")
    made = Search(tmp_path)
    made.write()
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a search with nothing missing."""
    made = Search(tmp_path_factory.mktemp("search"))
    made.write()
    files = made.segment("demo")
    write_json(Path(made.paths.volume_scores("demo")), {**SCORES, "ari": 0.8642})
    write_json(Path(made.paths.settings("train")), {"seed": 4711})
    return made.page(**{HOSTILE: files, "demo": files})


def decode(uri: str) -> np.ndarray:
    kind, data = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(imagecodecs.png_decode(base64.b64decode(data, validate=True)))


def test_a_class_without_a_voxel_in_training_is_named(
    page: Page, search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the report and in the summary in the terminal; in other searches nothing is said of it."""
    path = Path(search.paths.ensemble) / "ensemble.json"
    assert "no voxel" not in page.text
    voxels = {"train": [90, 0, 10], "validation": [60, 20, 20]}
    write_json(path, {**read_json(path), "class_voxels": voxels})
    assert (
        f"Class {HOSTILE} has no voxel in the training labels, so networks can't learn it; "
        "it makes up 20.0 % of the labelled validation voxels." in search.page().text
    )
    print_summary(search.paths.results)
    message = f"class {HOSTILE} has no voxel in the training labels: networks can't learn it (20.0% of the validation"
    assert message in capsys.readouterr().out


def leads(page: Page, split: str = "validation") -> dict[str, list[str]]:
    """Verdict, score, difference and interval of each rival of the ensemble on a set of images."""
    rows = page.rows[f"leads-{split}"][1:]
    return {
        title: [verdict, score, *difference.removesuffix(")").split(" (")]
        for verdict, title, score, difference in rows
    }


def test_the_answer_comes_first(page: Page) -> None:
    """Without intervals, as in results of older versions, no verdict is given."""
    text, first = page.text, page.text.split("Scores by class")[0]
    assert re.search(r"Use this ensemble: 1 network in /\S+/results/ensemble", first)
    assert re.search(r"genenet segment --ensemble /\S+/results/ensemble IMAGE\.tif --out IMAGE\.ome", first)
    assert "On the validation images 0.712 ARI 0.543 mean IoU" in first
    assert page.rows["leads-validation"][0] == ["The ensemble", "", "Its ARI", "Difference (95 % interval)"]
    assert leads(page) == {
        "Best single network, r0/000": ["may be ahead of", "0.700", "+0.012", "not known"],
        "U-Net 2015 (baseline)": ["may be ahead of", "0.600", "+0.112", "not known"],
    }
    assert (
        "1 of 3 networks scores higher than the U-Net 2015 on the validation images, the best by 0.100"
        in text
    )
    assert "by 0.100 ARI; 1 of the 3 failed to train." in text
    assert (
        "weights were chosen on these images, so the scores are optimistic. Measured on validation.tif."
        in first
    )
    assert "There are no test images" in first
    assert "On the validation images, no class that their labels show is missed." in first
    assert "Scored once" not in text


@pytest.mark.parametrize(
    ("ari", "says"),
    [
        (0.5, ["may be behind", "0.600", "−0.100", "not known"]),
        (0.6, ["no difference to", "0.600", "0.000", "not known"]),
        (None, ["can't be compared with", "0.600", "–", "not known"]),
    ],
)
def test_the_verdict_is_honest(tmp_path: Path, ari: float | None, says: list[str]) -> None:
    search = Search(tmp_path, ari=ari)
    search.write()
    assert leads(search.page())["U-Net 2015 (baseline)"] == says


def test_classes_that_the_ensemble_never_predicts_are_named(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(search.paths.ensemble) / "ensemble.json"
    values = read_json(path)
    counts = [[9, 1, 0], [2, 3, 0], [4, 0, 0]]
    values["validation"] |= {"confusion": counts, "iou": [9 / 16, 0.5, 0.0]}
    write_json(path, {**values, "classes": ["ground", "cell", "[granule]"], "class_voxels": None})
    says = "on the validation images, [granule] is never predicted, although the labels contain it"
    assert f"O{says[1:]}." in search.page().text
    print_summary(search.paths.results)
    assert says in capsys.readouterr().out


def test_the_report_says_what_a_refit_has_changed(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(search.paths.ensemble) / "ensemble.json"
    refit = {"images": ["a.tif", "b.tif"], "refitted": [], "failed": {"r0/000": "failed: no <disk>"}}
    write_json(path, {**read_json(path), "refit": refit})
    write_json(search.paths.run("refit/000").scores, {"status": "failed", "reason": "no <disk>"})
    scores = {"volumes": ["test.tif"], **SCORES, "ari": 0.6789}
    write_json(Path(search.paths.test_scores), {**scores, "before_refit": {**SCORES, "ari": 0.5}})
    text = search.page().text
    assert (
        "changed none of them. The refit of r0/000 failed (failed: no <disk>); it keeps its former weights."
        in text
    )
    assert "On the test images 0.679 ARI 0.543 mean IoU" in text
    assert "Before the refit: ARI 0.500, mean IoU 0.543. The comparison is about these, since" in text
    print_summary(search.paths.results)
    said = capsys.readouterr().out
    assert "0 of 1 members trained anew on all labelled images; the scores are from before" in said
    assert "r0/000 keeps its former weights: failed: no <disk>" in said
    assert "1 given up; once the cause is removed: genenet retry" in said
    write_json(path, {**read_json(path), "refit": {**refit, "refitted": ["r0/000"], "failed": {}}})
    says = "the members were trained anew on training and validation images together, 1 of 1 successfully."
    gain = "On the test images, the refit changed ARI by +0.179 and mean IoU by +0.000."
    assert gain not in text
    text = search.page().text
    assert says in text
    assert gain in text
    print_summary(search.paths.results)
    assert gain in capsys.readouterr().out


def test_the_report_says_why_members_keep_their_weights_though_their_refit_succeeded(search: Search) -> None:
    path = Path(search.paths.ensemble) / "ensemble.json"
    values = read_json(path)
    others = (
        "The others keep theirs as well, since the statistics of normalisation: training must be the same"
    )
    for run in ("refit/000", "refit/001"):
        write_json(search.paths.run(run).scores, {"status": "failed", "reason": "no disk"})
    refit = {"images": ["a.tif"], "refitted": [], "failed": {"r0/000": "failed: no disk"}}
    write_json(path, {**values, "refit": refit})
    assert others not in search.page().text
    write_json(path, {**values, "refit": refit, "members": values["members"] * 2})
    assert others in search.page().text


def test_claims_are_made_in_the_metric_of_the_selection(search: Search) -> None:
    path = Path(search.paths.ensemble) / "ensemble.json"
    write_json(path, {**read_json(path), "metric": "mean_iou"})
    text = search.page().text
    assert "On the validation images 0.712 ARI 0.543 mean IoU" in text
    assert leads(search.page())["U-Net 2015 (baseline)"][1:3] == ["0.400", "+0.143"]
    assert "Its mean IoU" in text
    assert (
        "0 of 3 networks score higher than the U-Net 2015 on the validation images, the best is behind by"
        in text
    )
    assert "is behind by 0.000 mean IoU" in text
    assert "The networks are ranked by mean IoU." in text


def test_test_scores_stand_apart(search: Search) -> None:
    test = {"volumes": ["test.tif"], **SCORES, "ari": 0.6789}
    write_json(Path(search.paths.test_scores), test)
    says = "Nothing was chosen on these images. Scored once, after selection, on test.tif."
    page = search.page()
    assert f"On the test images 0.679 ARI 0.543 mean IoU {says}" in page.text
    assert "The baselines weren't scored on these images." in page.text  # in results of an older version
    assert "leads-test" not in page.rows
    counted = {"blocks": {"block": [16, 32, 32], "counts": ["60 5 0 5 30 0 0 0 0"] * 24}}
    worse = {"ari": 0.5, "blocks": {**counted["blocks"], "counts": ["50 15 0 10 25 0 0 0 0"] * 24}}
    networks = {"r0/000": {"ari": 0.6789, **counted}, "baselines/unet2015": worse}
    write_json(Path(search.paths.test_scores), {**test, **counted, "networks": networks})
    page = search.page()
    assert leads(page, "test") == {
        "Best single network, r0/000": ["no difference to", "0.679", "0.000", "0.000 to 0.000"],
        "U-Net 2015 (baseline)": [
            "beats",
            "0.500",
            "+0.179",
            leads(page, "test")["U-Net 2015 (baseline)"][3],
        ],
    }
    assert "The intervals come from 24 blocks." in page.text
    assert leads(page)["U-Net 2015 (baseline)"][0] == "may be ahead of"  # on validation


@pytest.mark.parametrize(
    ("low", "high", "n_blocks", "verdict", "note"),
    [
        (0.05, 0.15, 64, "beats", "The intervals come from 64 blocks."),
        (0.05, 0.15, 9, "beats", "poorly known, since they come from only 9 blocks (fewer than 20)."),
        (-0.02, 0.2, 64, "no difference to", "The intervals come from 64 blocks."),
    ],
)
def test_a_difference_that_may_be_chance_is_none(
    search: Search,
    capsys: pytest.CaptureFixture[str],
    low: float,
    high: float,
    n_blocks: int,
    verdict: str,
    note: str,
) -> None:
    path = Path(search.paths.ensemble) / "ensemble.json"
    lead = {"against": "U-Net 2015", "low": low, "high": high, "n_blocks": n_blocks}
    single = {**lead, "against": "r0/000", "low": -0.1, "high": 0.1}
    write_json(path, {**read_json(path), "intervals": [single, lead]})
    page = search.page()
    between = f"{low:.3f} to {high:.3f}".replace("-", "−")
    assert leads(page) == {
        "Best single network, r0/000": ["no difference to", "0.700", "+0.012", "−0.100 to 0.100"],
        "U-Net 2015 (baseline)": [verdict, "0.600", "+0.112", between],
    }
    assert note in page.text
    print_summary(search.paths.results)
    printed = capsys.readouterr().out
    assert (
        "No difference is shown between the ensemble and the best network (r0/000): it is 0.012 ARI"
        in printed
    )
    assert (f"The ensemble beats the U-Net 2015 by 0.112 ARI (95 % interval: {between})." in printed) is (
        verdict == "beats"
    )
    assert note in printed


def reliability_of(error: float) -> dict[str, object]:
    return {
        "expected_calibration_error": error,
        "brier": 0.2,
        "confidence": [0.55, 0.95],
        "correct": [0.5, 0.95 - error],
        "voxels": [10, 90],
    }


def test_how_sure_it_is_is_said_of_the_test_images_if_there_are_any(search: Search) -> None:
    assert "How sure it is" not in search.page().text  # an ensemble of an older version
    of = {
        split: {"temperature": 1.5, "before": reliability_of(before), "after": reliability_of(after)}
        for split, before, after in (("validation", 0.1, 0.02), ("test", 0.2, 0.08))
    }
    path = Path(search.paths.ensemble) / "ensemble.json"
    write_json(path, {**read_json(path), "calibration": of["validation"]})
    text = search.page().text
    assert "On the validation images, the probability of the predicted class" in text
    assert (
        "differ by 0.020 on average (expected calibration error; 0.100 without the temperature of 1.50, which was"
        in text
    )
    assert "the diagram is optimistic" in text
    test = {"volumes": ["test.tif"], **SCORES, "calibration": of["test"]}
    write_json(Path(search.paths.test_scores), test)
    text = search.page().text
    assert (
        "differ by 0.080 on average (expected calibration error; 0.200 without the temperature of 1.50)"
        in text
    )
    assert "the diagram is optimistic" not in text


@pytest.mark.parametrize("n_folds", [0, 3])
def test_after_a_refit_the_calibration_is_that_of_the_networks_before(search: Search, n_folds: int) -> None:
    entry = {"temperature": 1.5, "before": reliability_of(0.1), "after": reliability_of(0.02)}
    path, run = Path(search.paths.ensemble) / "ensemble.json", search.paths.run("r0/000").scores
    refit = {"images": ["a.tif"], "refitted": ["r0/000"]}
    before = "The temperature is that of the networks before the refit; the new ones have learned from the images that"
    unknown = "it was fitted on, so it isn't known how well they are calibrated: there are no test images."
    write_json(run, {**read_json(run), "folds": n_folds or None})
    write_json(path, {**read_json(path), "calibration": entry})
    assert before not in search.page().text
    write_json(path, {**read_json(path), "refit": refit})
    text = search.page().text
    assert "Before the refit, on the validation images, the probability of the predicted class" in text
    assert text.count(f"{before} {unknown}") == 2
    test = {"volumes": ["test.tif"], **SCORES, "calibration": entry, "before_refit": SCORES}
    write_json(Path(search.paths.test_scores), test)
    text = search.page().text
    assert "How sure it is On the test images, the probability" in text
    assert text.count(f"{before} it was fitted on.") == 2
    seen = "all parts of the labelled images but one" if n_folds else "the training images only"
    assert f"since the others learned from {seen}." in text


def test_uncertainty_is_what_the_segmentations_of_the_ensemble_store(search: Search) -> None:
    path, demo = Path(search.paths.ensemble) / "ensemble.json", search.segment("demo")
    assert "Uncertainty is the entropy" in search.page(demo=demo).text
    entry = {"temperature": 1.5, "before": reliability_of(0.1), "after": reliability_of(0.02)}
    write_json(path, {**read_json(path), "calibration": entry})
    text = search.page(demo=demo).text
    assert "Uncertainty is the probability that a voxel's class is wrong." in text
    assert "entropy" not in text


def test_reliability_is_drawn_beside_the_diagonal() -> None:
    scores = {"before": reliability_of(0.2), "after": reliability_of(0.05)}
    entry = CalibrationEntry.model_validate({"temperature": 2, **scores})
    plot = plots.reliability(entry)
    assert plot is not None
    diagonal, before, _, after, _ = (
        line.data_source.data
        for line in plot.renderers  # type: ignore[attr-defined]
    )
    assert list(diagonal["x"]) == list(diagonal["y"]) == [0, 1]
    assert (before["correct"], after["correct"]) == ([0.5, 0.75], pytest.approx([0.5, 0.9]))
    nothing = CalibrationEntry.model_validate({"temperature": 1, "before": {}, "after": {}})
    assert plots.reliability(nothing) is None


def test_controls_are_a_table_with_a_verdict(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    """On validation images, and on test images if there are any; the end of a run says the verdict as well."""
    assert "Variety" not in search.page().text
    name = search.control("best")
    page = search.page(name)
    head, *rows = page.rows["compared"]
    assert head[1:] == ["Validation ARI", "Validation mean IoU", "Seconds of its networks", "Seconds in all"]
    assert rows == [
        ["Ensemble of 1 network", "0.712", "0.543", "12", "25"],
        ["Best single network, r0/000", "0.700", "0.400", "12", "25"],
        ["U-Net 2015", "0.600", "0.400", "12", "12"],
        [
            f"r0/000, ensemble of 1 of 2 seedscontrols/best_2 diverged: {FAILED['reason']}",
            "0.654",
            "0.568",
            "12",
            "25",
        ],
    ]
    said = (
        "Variety is ahead of the controls in ARI, but not in mean IoU: on the validation images the ensemble is 0.058 "
        "ARI ahead of and 0.025 mean IoU behind the best control (r0/000, ensemble of 1 of 2 seeds); no interval is "
        "known, so differences may be chance."
    )
    assert said in page.text
    assert "The ensemble has a single network, so this says nothing about variety." in page.text
    of_control = "Control: r0/000, ensemble of 1 of 2 seeds"
    assert leads(page)[of_control] == ["may be ahead of", "0.654", "+0.058", "not known"]
    write_json(Path(search.paths.test_scores), {"volumes": ["test.tif"], **SCORES, "ari": 0.6})
    page = search.page(name)
    assert leads(page, "test") == {of_control: ["may be behind", "0.654", "−0.054", "not known"]}
    rows = page.rows["compared"]
    assert rows[0][3:5] == ["Test ARI", "Test mean IoU"]
    assert [row[3:5] for row in rows[1:]] == [
        ["0.600", "0.543"],
        ["0.550", "0.500"],
        ["–", "–"],
        ["0.654", "0.568"],
    ]
    write_json(Path(search.paths.settings("report")), {"volumes": {}, "controls": [name]})
    print_summary(search.paths.results)
    printed = capsys.readouterr().out
    assert (
        "Variety doesn't beat the controls: on the test images the ensemble is 0.054 ARI behind and 0.025"
        in printed
    )
    assert "controls/best_2 diverged: the loss was <nan> at iteration 5" in printed


def test_failed_trainings_of_controls_are_among_the_failures(search: Search) -> None:
    page = search.page(search.control("best"))
    assert "controls/best_2" in page.text.split("Failures")[-1]
    assert search.paths.train_log("controls/best_2") in page.text


def test_the_ranking_holds_all_runs_with_their_part(page: Page) -> None:
    head, *rows = page.rows["runs"]
    columns = dict(zip(head, zip(*rows, strict=True), strict=True))
    assert columns["Run"] == ("r0/000", "baselines/unet2015", "r0/001", "r0/002")
    assert columns["Role"] == ("ensemble", "baseline", "", "")
    assert columns["Status"] == ("ok", "ok", "ok", "diverged")
    assert columns["ARI"] == ("0.700", "0.600", "0.500", "–")
    assert columns["Parameters"] == ("1,234", "4,936", "2,468", "3,702")
    assert columns["Learning curve"] == ("validation ARI, 0 to 1",) * 3 + ("",)


def test_every_headline_metric_of_the_table_is_a_column_of_the_ranking_and_a_row_of_the_scores(
    page: Page,
) -> None:
    titles = [metric.title for metric in METRICS.values() if metric.is_headline]
    assert len(titles) >= 3
    for title in titles:
        assert title in page.rows["runs"][0]
        assert title in [row[0] for row in page.rows["scores"]]


def plotted(model: object) -> dict[str, list[object]]:
    return {key: list(values) for key, values in model.renderers[0].data_source.data.items()}  # type: ignore[attr-defined]


def test_scores_are_shown_against_what_differs_among_the_networks(search: Search) -> None:
    runs = read_runs(search.paths, {"r0/000"})
    shown = network_plots.hyperparameters(runs, 0.7)
    assert list(shown) == ["parameters", "n_convkernels", "norm"]
    points = plotted(shown["n_convkernels"])
    assert (points["x"], points["y"], points["run"]) == ([4, 5], [0.7, 0.5], ["r0/000", "r0/001"])
    assert shown["norm"].xaxis[0].major_label_overrides == dict(enumerate(NORMS))


def with_ari(run: Outcome, name: str, ari: float) -> Outcome:
    scores = Scores.model_validate({"status": "ok", "n_parameters": 1234, "validation": {"ari": ari}})
    return replace(run, run=name, scores=scores)


def with_history(run: Outcome, folder: Path, name: str, course: list[float]) -> Outcome:
    rows = [f"{iteration},{ari}" for iteration, ari in enumerate(course, start=1)]
    folder.mkdir()
    (folder / "history.csv").write_text("\n".join(["iteration,validation_ari", *rows]) + "\n")
    return replace(run, run=name, is_member=False, files=RunPaths(folder))


def test_networks_far_below_the_others_stand_at_the_lower_edge_and_do_not_press_them_together(
    search: Search,
) -> None:
    (run, *_) = read_runs(search.paths, {"r0/000"})
    runs = [with_ari(run, f"r0/00{i}", ari) for i, ari in enumerate((0.9, 0.88, 0.86, 0.85, 0.82, 0.0))]
    plot = network_plots.hyperparameters(runs, 0.92)["parameters"]
    points = plotted(plot)
    assert points["marker"] == [*["circle"] * 5, "inverted_triangle"]
    assert points["y"][:5] == points["ari"][:5]
    assert plot.y_range.start < points["y"][5] < 0.82
    assert plot.y_range.end > 0.92  # the ensemble's line
    assert points["ari"][5] == 0
    assert network_plots.n_below(runs) == 1
    assert network_plots.n_below(runs[:-1]) == network_plots.n_below([]) == 0


def test_curves_that_stay_far_below_the_others_are_drawn_at_the_lower_edge(search: Search) -> None:
    (run, *_) = read_runs(search.paths, {"r0/000"})
    courses = [[0.6, 0.7], [0.62, 0.72], [0.65, 0.8], [0.66, 0.81], [0.0, 0.0]]
    runs = [with_history(run, search.root / f"{i}", f"r0/00{i}", course) for i, course in enumerate(courses)]
    plot = plots.learning_curves(runs)
    assert plot is not None
    *learning, still = plotted(plot)["ys"]
    assert learning == courses[:-1]
    assert plot.y_range.start < still[0] == still[1] < 0.6  # type: ignore[index]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1200, 340_000, [10_000, 100_000]),
        (12_900, 130_000, [30_000, 100_000]),
        (41_000, 160_000, [50_000, 100_000]),
        (130_000, 140_000, [130_000]),
    ],
)
def test_ticks_of_numbers_of_parameters_are_round_and_few(
    low: float, high: float, ticks: list[float]
) -> None:
    assert network_plots.log_ticks(low, high) == ticks


def test_confusion_is_in_shares_of_the_true_class() -> None:
    shown = plotted(matrix_plots.confusion(np.array(SCORES["confusion"]), ["a", "b", "c"]))
    assert shown["text"] == ["75", "25", "", "25", "75", "", "", "", ""]
    assert shown["row"][3:6] == ["b"] * 3
    assert shown["column"][3:6] == ["a", "b", "c"]


def test_disagreement_has_a_number_for_each_pair_and_needs_two_members() -> None:
    shown = matrix_plots.disagreement([[0, 0.012], [0.012, 0]], ["r0/000", "r0/004"])
    assert shown is not None
    assert plotted(shown)["text"] == ["", "0.012", "0.012", ""]
    assert matrix_plots.disagreement([[0]], ["r0/000"]) is matrix_plots.disagreement([], ["r0/000"]) is None
    many = matrix_plots.disagreement(np.full((13, 13), 0.01).tolist(), [f"r0/{i:03}" for i in range(13)])
    assert many is not None
    assert set(plotted(many)["text"]) == {""}  # the numbers would overlap


def with_price(run: Outcome, name: str, ari: float, seconds: float | None) -> Outcome:
    prediction = {} if seconds is None else {"prediction": {"seconds": seconds, "voxels": 2_000_000}}
    scores = {"status": "ok", "n_parameters": 1234, "validation": {"ari": ari}, **prediction}
    return replace(run, run=name, scores=Scores.model_validate(scores))


def test_ensembles_cost_the_time_of_their_members(search: Search) -> None:
    (run, *_) = read_runs(search.paths, {"r0/000"})
    prices = {"r0/000": 1.0, "r0/001": 4.0, "r0/002": None}
    runs = [with_price(run, name, 0.7, seconds) for name, seconds in prices.items()]
    entry = StrategyEntry.model_validate(
        {
            "strategy": "best_n",
            "chosen": True,
            "members": [{"run": name, "weight": 0.5} for name in list(prices)[:2]],
            "validation": {"ari": 0.75, "iou": [0.5]},
            "seconds_per_megavoxel": 2.5,
        }
    )
    found = priced_ensembles(runs, list(prices), [0.7, 0.75, 0.8], [entry], "ari")
    assert found == [
        PricedEnsemble("best 1", 1, 0.5, 0.7, True),
        PricedEnsemble("best 2", 2, 2.5, 0.75, True),  # the cost of three isn't known
        PricedEnsemble("best n", 2, 2.5, 0.75, False),
    ]


def test_speed_shows_networks_and_ensembles_whose_time_is_known(search: Search) -> None:
    (run, *_) = read_runs(search.paths, {"r0/000"})
    runs = [with_price(run, "r0/000", 0.7, 1.0), with_price(run, "r0/001", 0.6, 0.2)]
    plot = network_plots.speed([*runs, with_price(run, "r0/002", 0.9, None)], [])
    assert plot is not None
    assert plotted(plot) == {
        "x": [0.5, 0.1],
        "y": [0.7, 0.6],
        "marker": ["circle"] * 2,
        "ari": [0.7, 0.6],
        "run": ["r0/000", "r0/001"],
    }
    both = network_plots.speed(runs, [PricedEnsemble("best 2", 2, 0.6, 0.75, True)])
    assert both is not None
    dots = [line.data_source.data for line in both.renderers]  # type: ignore[attr-defined]
    assert dots[-1]["run"] == ["best 2: 2 networks"]
    assert (dots[-1]["x"], dots[-1]["y"]) == ([0.6], [0.75])
    assert network_plots.speed([with_price(run, "r0/002", 0.9, None)], []) is None


def test_members_have_their_gene_graph_and_network_drawn(page: Page) -> None:
    genomes = [image for image in page.all("img") if image.get("class") == "genome"]
    assert [image["alt"] for image in genomes] == ["Gene graph of r0/000", "Network of r0/000"]
    for image, word in zip(genomes, (b"n_stacks", b"60 "), strict=True):
        svg = base64.b64decode((image["src"] or "").removeprefix("data:image/svg+xml;base64,"), validate=True)
        assert word in svg


def test_failures_say_why_and_where_the_log_is(search: Search) -> None:
    log = f"{search.paths.results}/logs/train/r0/002.log"
    assert f"r0/002 diverged the loss was <nan> at iteration 5 {log}" in search.page().text


def test_provenance(page: Page) -> None:
    assert f"genenet {__version__} (source " in page.text
    assert "Seed 4711" in page.text
    assert "3 networks, 1 baseline" in page.text
    assert "3 ok, 1 diverged" in page.text


def test_opens_without_a_network(page: Page) -> None:
    assert page.sources
    assert all(
        source.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,", "#"))
        for source in page.sources
    )
    assert not page.all("link")
    assert not any("src" in script for script in page.all("script"))
    assert "http" not in " ".join(page.words)  # nor in the style sheet
    anchors = {a["href"] for a in page.all("a")}
    assert anchors == {f"#{a['id']}" for a in page.all("section")}


def test_pictures_are_png_with_alt_texts(page: Page) -> None:
    pictures = page.images
    assert all(a["alt"] for a in pictures)
    shapes = [decode(a["src"] or "").shape for a in pictures]
    assert shapes == [SHAPE[1:], *[(*SHAPE[1:], 3)] * 4]


def test_slices_show_classes_in_their_colours(page: Page) -> None:
    labels, found = (decode(a["src"] or "") for a in page.images[1:3])
    colours = class_colours(len(CLASSES))
    assert tuple(labels[0, 0]) == figures.UNKNOWN_COLOUR
    assert tuple(labels[-1, -1]) == colours[0]
    assert (found == colours[1]).all()
    assert "Slice 2 of 3, the whole slice of 20 × 30 (y × x): 0.2 × 0.3 µm" in page.text


def test_large_slices_are_cut(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_sections, "SHOWN", 8)
    page = search.page(demo=search.segment("demo"))
    assert decode(page.images[0]["src"] or "").shape == (8, 8)
    assert "the middle 8 × 8 voxels of 20 × 30" in page.text


def test_scores_against_labels(page: Page) -> None:
    assert "Against its labels, whole volume ARI 0.864" in page.text
    assert f"IoU of {HOSTILE} 0.432" in page.text
    assert "IoU of $granule_{ –" in page.text


def test_names_are_escaped(page: Page) -> None:
    """As text: a volume's name, the path in its note, a class in two tables and the legend."""
    assert page.text.count(HOSTILE) >= 5
    assert page.source.count(HOSTILE) == 0


def test_unlabelled_volume(search: Search) -> None:
    page = search.page(demo=search.segment("demo", labels=False))
    assert len(page.images) == 4
    assert "Against its labels" not in page.text


@pytest.mark.parametrize("gone", ["store", "image"])
def test_volume_that_is_missing_is_named(search: Search, gone: str) -> None:
    files = search.segment("demo")
    path = files.image[0]
    if gone == "store":
        path = Path(search.paths.store("demo"))
        path.rename(path.with_name("elsewhere"))
    else:
        path.unlink()
    page = search.page(demo=files)
    assert str(path) in page.text
    assert not page.images


def test_segmentation_of_another_shape_is_named(search: Search) -> None:
    files = search.segment("demo")
    tifffile.imwrite(files.image[0], np.zeros((3, 20, 31), np.uint8), photometric="minisblack")
    assert "segment it again" in search.page(demo=files).text


def test_missing_blocks_are_named(search: Search) -> None:
    files = search.segment("demo")
    next((Path(search.paths.store("demo")) / "0" / "c").rglob("0/0/0/0")).unlink()
    assert "1 of 1 blocks aren't segmented yet" in search.page(demo=files).text


def test_no_baseline_one_genome(tmp_path: Path) -> None:
    search = Search(tmp_path, runs={"r0/000": ok(0.7)})
    search.write()
    page = search.page()
    assert "No baseline to compare with: the config names none." in page.text
    assert "None: all 1 trainings were successful." in page.text
    assert not page.images


def test_failed_baseline(tmp_path: Path) -> None:
    search = Search(tmp_path, runs={"r0/000": ok(0.7), "baselines/unet2015": FAILED})
    search.write()
    assert "No baseline to compare with: none was trained successfully." in search.page().text


def test_a_baseline_of_several_seeds_is_compared_by_its_mean_and_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baselines = {
        "baselines/unet2015": ok(0.6),
        "baselines/unet2015_2": ok(0.64),
        "baselines/unet2015_3": FAILED,
    }
    search = Search(
        tmp_path, runs={"r0/000": ok(0.7), "r0/001": ok(0.61), **baselines, "baselines/ciresan2012": ok(0.72)}
    )
    search.write()
    page = search.page()
    text = page.text
    found = leads(page)
    assert found["U-Net 2015 (baseline, mean of 2 seeds)"][1:3] == ["0.620 ± 0.028", "+0.092"]
    where = "on the validation images, the best"
    assert f"1 of 2 networks scores higher than the U-Net 2015 {where} by 0.080 ± 0.028 ARI." in text
    assert found["sliding window 2012 (baseline)"][:3] == ["may be behind", "0.720", "−0.008"]
    assert (
        f"0 of 2 networks score higher than the sliding window 2012 {where} is behind by 0.020 ARI." in text
    )
    print_summary(search.paths.results)
    printed = capsys.readouterr().out
    assert (
        "The ensemble is 0.092 ± 0.028 ARI ahead of the U-Net 2015 (mean of 2 seeds); no interval is"
        in printed
    )
    assert (
        "The ensemble is 0.008 ARI behind the sliding window 2012; no interval is known, so this may be"
        in printed
    )


def test_no_ari_at_all(tmp_path: Path) -> None:
    search = Search(tmp_path, runs={"r0/000": ok(None), "baselines/unet2015": ok(None)}, ari=None)
    search.write()
    for run in search.runs:
        search.paths.run(run).history.unlink()
    page = search.page()
    assert "On the validation images – ARI" in page.text
    assert page.text.count("Nothing to show") == 3
    assert not page.images


def test_eighty_runs(tmp_path: Path) -> None:
    runs = {f"r0/{i:03d}": ok(0.3 + i / 200) if i % 9 else FAILED for i in range(80)}
    search = Search(tmp_path, runs={**runs, "baselines/unet2015": ok(0.6)}, n_members=4)
    search.write()
    page = search.page()
    assert (
        "17 of 80 networks score higher than the U-Net 2015 on the validation images, the best by 0.095 ARI; 9 of the "
        "80 failed to train." in page.text
    )
    assert len(page.all("details")) == 1 + 4  # scores by class, the members' pictures


def test_without_a_ranking(search: Search) -> None:
    Path(search.paths.ranking).unlink()
    with pytest.raises(InputError, match="genenet select"):
        search.page()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.uint8),
        np.ones((4, 5), bool),
        np.full((4, 5), np.nan, np.float32),
        np.full((4, 5), 2**62, np.int64),
    ],
)
def test_stretch_survives_flat_images(image: np.ndarray) -> None:
    assert not figures.stretch(image).any()


def test_stretch_uses_the_whole_scale() -> None:
    image = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    image[0, 0] = np.inf
    stretched = figures.stretch(image)
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_overlay_leaves_the_background_as_it_is() -> None:
    grey = np.full((4, 4), 100, np.uint8)
    classes = np.zeros((4, 4), np.uint8)
    classes[1:3, 1:3] = 1
    shown = figures.overlay(grey, classes, figures.colour(classes, 2))
    assert (shown[classes == 0] == 100).all()
    assert (shown[classes == 1] != 100).any()


def test_numbers_for_people() -> None:
    assert [report.number(v) for v in (0.12349, -0.5, None, float("nan"))] == ["0.123", "−0.500", "–", "–"]
    assert [report.whole(v) for v in (31_030_983, 0.4, None)] == ["31,030,983", "0", "–"]
