"""Controls: the genome that is picked, the scores of their networks, and the comparison with the ensemble."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from genenet.config.planned_controls import ControlSettings
from genenet.config.selection_metrics import SCORES
from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.ensembles.comparison import Comparison, comparison
from genenet.ensembles.control_scoring import score_control
from genenet.ensembles.controls import (
    ControlFile,
    ControlTraining,
    MeanScores,
    pick_best,
    read_controls,
    write_control,
)
from genenet.ensembles.description import EnsembleDescription
from genenet.ensembles.ranking import write_ranking
from genenet.ensembles.standings import Standing, standings
from genenet.ensembles.tested import ScoresOnTestImages
from genenet.ensembles.verdicts import LeadVerdict
from genenet.genes.genome import Genome, read_genome
from genenet.metrics.block_scores import BlockCounts
from genenet.metrics.contingency import Contingency, class_scores
from genenet.training.outcome_reader import read_outcomes
from genenet.training.outcomes import Outcome
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import write_probabilities
from genenet.training.scores import Scores
from tests.support import runs

CPU = torch.device("cpu")
SETTINGS = ControlSettings(control="best", runs=["controls/best_2"], has_test=False, threads=1, device="cpu")


class Search:
    """A search whose networks have answered the validation images, each in its own noisy way."""

    def __init__(self, folder: Path) -> None:
        self.paths = ResultPaths(folder / "results")
        data = Path(self.paths.data("validation"))
        data.parent.mkdir(parents=True)
        runs.write_split(folder, "validation", (2, 40, 48), 2)
        (folder / "validation.zarr.zip").rename(data)
        self.validation = open_prepared(data)
        (self.labels,) = (image.labels[...] for image in self.validation.images)

    def publish(self, run: str, kernels: int, seed: int, noise: float, **scores: object) -> None:
        rng, n = np.random.default_rng(seed), len(self.validation.classes)
        answer = (self.labels == np.arange(n)[:, None, None, None]) + noise * rng.random(
            (n, *self.labels.shape)
        )
        levels = np.rint(255 * answer / answer.sum(axis=0)).astype(np.uint8)
        files, genome = self.paths.run(run), Genome(run, {"net": {"n_convkernels": kernels}})
        genome.write(self.paths.genome(run))
        files.folder.mkdir(parents=True)
        slices = ((z, levels[:, z : z + 1]) for z in range(self.labels.shape[0]))
        write_probabilities(
            files.validation, self.validation.checksum, self.validation.outputs, [(self.labels.shape, slices)]
        )
        ari = adjusted_rand_score(self.labels.ravel(), levels.argmax(axis=0).ravel())
        facts = {
            "status": "ok",
            "seconds": 10.0 * seed,
            "iterations": 40,
            "validation": {"ari": ari},
            **scores,
        }
        Scores.model_validate({"name": run, "genome": genome.id, **facts}).write(files.scores)
        files.history.write_text("iteration,training_loss,learning_rate,validation_ari,seconds\n")

    def rank(self, *names: str) -> None:
        write_ranking(Path(self.paths.ranking), read_outcomes(self.paths, names))

    def stored(self, run: str) -> np.ndarray:
        from genenet.training.probabilities import open_probabilities

        with open_probabilities(self.paths.run(run).validation) as file:
            return file.arrays[0][...].astype(np.float64)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """A baseline with the highest ARI, three genomes, of which r0/001 is the best, and its training of a control."""
    found = Search(tmp_path)
    found.publish("baselines/unet2015", 5, 1, 1.0)
    for index, noise in enumerate((1.7, 1.4, 2.5)):
        found.publish(f"r0/00{index}", 6 + index, 2 + index, noise)
    found.rank("r0/000", "r0/001", "r0/002", "baselines/unet2015")
    found.publish("controls/best_2", 7, 9, 1.5)
    return found


def test_the_best_network_of_the_search_is_picked_and_no_baseline(search: Search, tmp_path: Path) -> None:
    pick_best(search.paths, tmp_path / "picked.json")
    assert read_genome(tmp_path / "picked.json") == read_genome(search.paths.genome("r0/001"))


def test_without_a_ranking_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"ranking\.csv: no successful training of the search; select an ensemble"
    ):
        pick_best(ResultPaths(tmp_path), tmp_path / "picked.json")


def test_the_mean_of_the_seeds_is_scored_with_the_searchs_own_training_as_the_first(search: Search) -> None:
    found = score_control(search.paths, SETTINGS, CPU)
    assert [each.run for each in found.trainings] == ["r0/001", "controls/best_2"]
    assert found.seconds == 30.0 + 90.0
    assert found.own_runs == ["controls/best_2"]
    mean = (search.stored("r0/001") + search.stored("controls/best_2")).argmax(axis=0)
    assert found.validation is not None
    assert found.validation.ari == pytest.approx(
        adjusted_rand_score(search.labels.ravel(), mean.ravel()), abs=1e-12
    )
    singles = [each.validation.ari for each in found.trainings if each.validation]
    assert found.validation.ari > max(singles) > 0.1  # their noise is independent
    assert found.validation.blocks is not None
    assert class_scores(Contingency(found.validation.blocks.tables.sum(axis=0))).ari == found.validation.ari
    without = [class_scores(Contingency(each.tables.sum(axis=0))).ari for each in found.validation.without]
    assert without == pytest.approx([singles[1], singles[0]])  # of two networks, the other one alone
    path = Path(search.paths.control("best"))
    write_control(path, found)
    assert read_controls(search.paths, ["best", "unet2015"]) == [found]  # the other one isn't scored yet


def test_the_ranking_may_have_another_best_network_meanwhile(search: Search) -> None:
    """The first of the seeds is the training of the genome that was picked."""
    search.publish("r0/003", 3, 5, 0.9)
    search.rank("r0/000", "r0/001", "r0/002", "r0/003")
    assert score_control(search.paths, SETTINGS, CPU).trainings[0].run == "r0/001"


def test_trainings_without_weights_are_left_out_and_named(search: Search) -> None:
    search.publish(
        "controls/best_3", 7, 3, 1.0, status="diverged", reason="the loss was nan", validation=None
    )
    more = SETTINGS.model_copy(update={"runs": ["controls/best_2", "controls/best_3"]})
    found = score_control(search.paths, more, CPU)
    assert found.validation == score_control(search.paths, SETTINGS, CPU).validation
    assert [(each.status, each.reason) for each in found.trainings][2] == ("diverged", "the loss was nan")
    alone = SETTINGS.model_copy(update={"runs": ["controls/best_3"], "baseline": "unet2015"})
    assert score_control(search.paths, alone, CPU).validation is None


def scores(ari: float | None, iou: float | None) -> MeanScores:
    return MeanScores(metrics={"ari": ari, "mean_iou": iou})


def control(name: str, test: MeanScores | None, *statuses: str, **facts: object) -> ControlFile:
    trainings = [
        ControlTraining(
            run=f"controls/{name}_{i}" if i > 1 or facts else "r0/001",
            status=status,
            reason="" if status == "ok" else "the loss was nan",
            seconds=10.0 if status == "ok" else None,
            iterations=1200 if status == "ok" else None,
            validation=scores(0.5 + i / 10, 0.5) if status == "ok" else None,
            test=scores(0.4 + i / 10, 0.4) if test and status == "ok" else None,
        )
        for i, status in enumerate(statuses, start=1)
    ]
    validation = scores(0.7, 0.5) if "ok" in statuses else None
    return ControlFile(control=name, trainings=trainings, validation=validation, test=test, **facts)


def compared(
    search: Search, test: MeanScores | None, *controls: ControlFile, **facts: Any
) -> Comparison | None:
    """The table of the controls; the other arguments are those of ``facts_of``."""
    return comparison(*facts_of(search, test, **facts), controls)


def stands(search: Search, test: MeanScores | None, *controls: ControlFile) -> list[Standing]:
    """The ensemble on validation and test images."""
    return standings(*facts_of(search, test), controls)


def facts_of(
    search: Search,
    test: MeanScores | None,
    n_members: int = 2,
    before_refit: MeanScores | None = None,
    refitted: tuple[str, ...] = (),
) -> tuple[EnsembleDescription, ScoresOnTestImages | None, list[Outcome]]:
    outcomes = read_outcomes(search.paths, ["r0/000", "r0/001", "r0/002", "baselines/unet2015"])
    members = [{"folder": f"m/{i}", "run": f"r0/00{i}", "genome": "0" * 12} for i in range(n_members)]
    ensemble = EnsembleDescription.model_validate(
        {
            "classes": ["a", "b"],
            "voxel_size_nm": (1, 1, 1),
            "normalisation": {"mode": "volume", "mean": 0, "deviation": 1},
            "members": members,
            "validation": {"ari": 0.8, "mean_iou": 0.6},
            "refit": {"images": ["t", "v"], "refitted": refitted} if before_refit else None,
        }
    )
    facts = {"volumes": ["t"], "before_refit": before_refit}
    tested = ScoresOnTestImages(metrics=test.metrics, blocks=test.blocks, **facts) if test else None
    return ensemble, tested, outcomes


def test_without_controls_nothing_is_compared(search: Search) -> None:
    assert compared(search, None) is None


def test_rows_have_scores_and_seconds(search: Search) -> None:
    """Seconds of trainings: baseline 10, genomes 20, 30, 40; the search is the sum of the genomes."""
    best = control("best", scores(0.55, 0.45), "ok", "ok", "diverged")
    long = control("unet2015_long", scores(0.5, 0.3), "ok", baseline="unet2015", is_long=True)
    found = compared(search, scores(0.6, 0.4), best, long)
    assert found is not None
    rows = {row.title: row for row in found.rows}
    assert list(rows) == [
        "Ensemble of 2 networks",
        "Best single network, r0/001",
        "U-Net 2015",
        "r0/001, ensemble of 2 of 3 seeds",
        "U-Net 2015, one training of 1,200 iterations",
    ]
    assert [(row.own_seconds, row.all_seconds) for row in found.rows] == [
        (50, 90),
        (30, 90),
        (10, 10),
        (20, 100),
        (10, 10),
    ]
    tests = [row.test and tuple(row.test[name] for name in SCORES) for row in found.rows]
    assert tests == [(0.6, 0.4), (0.5, 0.4), None, (0.55, 0.45), (0.5, 0.3)]
    assert rows["r0/001, ensemble of 2 of 3 seeds"].notes == ("controls/best_3 diverged: the loss was nan",)
    assert found.spread == {"r0/001, ensemble of 2 of 3 seeds": pytest.approx(0.1 / 2**0.5)}
    assert found.reservations == []


@pytest.mark.parametrize(
    ("of_control", "says"),
    [
        (
            (0.55, 0.35),
            "Variety is ahead of the controls: on the test images the ensemble is 0.050 ARI ahead of and 0.050 "
            "mean IoU ahead of the best control (NAME)"
            "; no interval is known, so differences may be chance.",
        ),
        (
            (0.55, 0.45),
            "Variety is ahead of the controls in ARI, but not in mean IoU: on the test images the ensemble is 0.050 "
            "ARI ahead of and 0.050 mean IoU behind the best control (NAME)"
            "; no interval is known, so differences may be chance.",
        ),
        (
            (0.6, 0.45),
            "Variety doesn't beat the controls: on the test images the ensemble is as good in ARI as and 0.050 mean "
            "IoU behind the best control (NAME)"
            "; no interval is known, so differences may be chance.",
        ),
        (
            (None, 0.45),
            "Variety doesn't beat the controls: on the test images the ensemble is 0.050 mean IoU behind the best "
            "control (NAME)"
            "; no interval is known, so differences may be chance.",
        ),
        (
            (None, None),
            "Whether variety beats the controls can't be said: there is no score that both have.",
        ),
    ],
)
def test_the_verdict_is_plain(
    search: Search, of_control: tuple[float | None, float | None], says: str
) -> None:
    weak = control("unet2015_long", scores(0.1, 0.1), "ok", baseline="unet2015", is_long=True)
    best = control("best", scores(*of_control), "ok", "ok")
    found = compared(search, scores(0.6, 0.4), *([best] if None in of_control else [weak, best]))
    assert found is not None
    assert found.verdict == says.replace("NAME", "r0/001, ensemble of 2 seeds")


def blocks(right: int, n: int = 30) -> BlockCounts:
    """Blocks in which this many of 100 voxels of each of two classes are right, a few more or less."""
    rights = [[right + block % 3, right - block % 2] for block in range(n)]
    return BlockCounts(block=(16, 32, 32), counts=[f"{a} {100 - a} {100 - b} {b}" for a, b in rights])


def scored(right: int, *without: int) -> MeanScores:
    """The scores of such blocks, as those of a mean of networks."""
    counts = blocks(right)
    found = class_scores(Contingency(counts.tables.sum(axis=0)))
    return MeanScores(metrics=found.metrics, blocks=counts, without=[blocks(each) for each in without])


@pytest.mark.parametrize(
    ("of_control", "verdict", "says"),
    [
        (scored(80, 80, 80), LeadVerdict.BEATS, "Variety beats the controls: on the test images the ensemble is 0."),
        (scored(90, 90, 90), LeadVerdict.NO_DIFFERENCE, "as good in mean IoU as (95 % interval: 0.000 to 0.000; no"),
        (scored(95, 95, 95), LeadVerdict.BEHIND, "Variety doesn't beat the controls: on the test images the ens"),
        (scored(88, 70, 96), LeadVerdict.NO_DIFFERENCE, "Variety doesn't beat the controls: on the test images the"),
    ],
)  # fmt: skip
def test_a_control_is_compared_by_its_blocks_and_its_seeds(
    search: Search, of_control: MeanScores, verdict: LeadVerdict, says: str
) -> None:
    """The ensemble has 90 of 100 right. In the last case, the means without either seed are far apart."""
    best = control("best", of_control, "ok", "ok")
    found = compared(search, scored(90), best)
    assert found is not None
    assert says in found.verdict
    row = found.rows[-1]
    assert all(row.intervals[metric] for metric in SCORES)
    standing = stands(search, scored(90), best)[1]
    (of_one,) = standing.rivals
    assert (of_one.kind, of_one.lead.verdict, of_one.lead.interval) == (
        "control",
        verdict,
        row.intervals["ari"],
    )
    assert "the control r0/001, ensemble of 2 seeds" in standing.lines[1]
    assert standing.lines[-1] == "  The intervals come from 30 blocks."


def test_counts_of_other_labels_are_not_compared(search: Search) -> None:
    """The test images may have been prepared again meanwhile."""
    other = scored(90).model_copy(update={"blocks": blocks(90, n=31)})
    (of_one,) = stands(search, scored(90), control("best", other, "ok", "ok"))[1].rivals
    assert of_one.lead.interval is None
    assert of_one.lead.verdict is LeadVerdict.NO_DIFFERENCE  # the scores are equal


def test_without_test_images_the_verdict_is_about_validation(search: Search) -> None:
    found = compared(search, None, control("best", None, "ok", "ok"))
    assert found is not None
    assert (
        "Variety is ahead of the controls: on the validation images the ensemble is 0.100 ARI ahead"
        in found.verdict
    )
    assert not found.has_test


def test_the_ensemble_is_compared_as_it_was_before_its_refit(search: Search) -> None:
    """Controls and baselines learn from the training images only, refitted members from the validation images too."""
    best = control("best", scores(0.65, 0.35), "ok", "ok")
    found = compared(
        search, scores(0.7, 0.5), best, before_refit=scores(0.6, 0.52), refitted=("r0/000", "r0/001")
    )
    assert found is not None
    first = found.rows[0]
    assert (first.title, first.test) == (
        "Ensemble of 2 networks, before the refit",
        {"ari": 0.6, "mean_iou": 0.52},
    )
    assert "the ensemble is 0.050 ARI behind and 0.170 mean IoU ahead of the best control" in found.verdict
    assert found.reservations == [
        "Controls learned from the training images only, so the ensemble is compared as before the refit.",
        "On the test images, the refit changed ARI by +0.100 and mean IoU by -0.020.",
    ]


def test_with_folds_controls_learned_from_all_parts_but_one(search: Search) -> None:
    path = search.paths.run("r0/000").scores
    write_json(path, {**read_json(path), "folds": 3})
    best, refitted = control("best", scores(0.65, 0.35), "ok", "ok"), ("r0/000", "r0/001")
    found = compared(search, scores(0.7, 0.5), best, before_refit=scores(0.6, 0.52), refitted=refitted)
    assert found is not None
    assert found.reservations[0] == (
        "Controls learned from all parts of the labelled images but one, so the ensemble is compared as before the "
        "refit."
    )


def test_a_refit_that_changed_no_member_added_nothing(search: Search) -> None:
    same = scores(0.6, 0.4)
    found = compared(search, same, control("best", scores(0.5, 0.3), "ok", "ok"), before_refit=same)
    assert found is not None
    assert (found.rows[0].title, found.reservations) == ("Ensemble of 2 networks", [])


def test_what_the_verdict_does_not_say_is_said(search: Search) -> None:
    """A single member is no variety, and a control without networks isn't compared."""
    failed = control("unet2015_long", None, "diverged", baseline="unet2015", is_long=True)
    found = compared(search, None, control("best", None, "ok", "ok"), failed, n_members=1)
    assert found is not None
    assert found.reservations == [
        "The ensemble was selected on the validation images, which favours it; test images (data.test) would not.",
        "The ensemble has a single network, so this says nothing about variety.",
        "U-Net 2015, one long training: none of the trainings of this control was successful, so it isn't compared.",
    ]
