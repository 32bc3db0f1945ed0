"""Folds as files: their images, and the trainings of a genome's folds as the results of one training."""

import logging
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from genenet.config.folds import FoldPlan
from genenet.core.atomic_files import write_json
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths, fold_run
from genenet.ensembles.anytime import attempts_at
from genenet.ensembles.ensemble import Member
from genenet.ensembles.scoring import _networks
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.weights import save_weights
from genenet.search.retry import find
from genenet.training.joined_folds import join_folds
from genenet.training.outcome_files import write_history
from genenet.training.outcome_reader import read_outcome, read_outcomes
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import open_probabilities, write_probabilities
from genenet.training.scores import read_scores
from genenet.training.trainer import Row
from tests.support import runs
from tests.unit.training.test_prepare import make_settings, pair, write

N = 3


def prepare_folds(paths, images, **changes):
    """Prepare what the workflow prepares: each fold's parts, and all that is validated on."""
    for fold in (None, *range(N)):
        for split in ("train", "validation") if fold is not None else ("validation",):
            plan_ = FoldPlan(n=N, by="region", fold=fold)
            settings = make_settings(*images, split=split, folds=plan_, smallest_input_voxels=8, **changes)
            out = Path(paths.data(split) if fold is None else paths.fold_data(fold, split))
            out.parent.mkdir(parents=True, exist_ok=True)
            prepare(settings, out)


class Folds:
    """A genome whose folds are trained: random probabilities of their validation images, and random weights."""

    def __init__(self, folder):
        self.paths, self.run = ResultPaths(folder / "results"), "r0/001"
        self.images = pair((7, 40, 48)), pair((1, 40, 66), 1)
        prepare_folds(
            self.paths, [write(folder, *each, name) for each, name in zip(self.images, "ab", strict=True)]
        )
        self.genome = Genome("tiny", {"net": runs.GENOME})
        self.genome.write(Path(self.paths.genome(self.run)))
        self.probabilities = [self.train(fold) for fold in range(N)]

    def train(self, fold):
        files, rng = self.paths.run(fold_run(self.run, fold)), np.random.default_rng(fold)
        validation = open_prepared(Path(self.paths.fold_data(fold, "validation")))
        arrays = [rng.integers(0, 256, (3, *image.labels.shape), np.uint8) for image in validation.images]
        files.folder.mkdir(parents=True)
        write_probabilities(
            files.validation,
            validation.checksum,
            validation.outputs,
            ((a.shape[1:], ((z, a[:, z : z + 1]) for z in range(a.shape[1]))) for a in arrays),
        )
        network = Network(plan(self.genome.net, 3))
        save_weights(network.state_dict(), self.genome.id, files.weights)
        rows = [Row(10, 2.0 + fold, 0.1, 0.1 * fold, 5.0, 0.2), Row(20, 1.0, 0.1, float("nan"), 9.0, 0.3)]
        write_history(files.history, rows[: 1 if fold == 2 else 2])
        self.score(fold, "ok", validation={"ari": 0.1 * fold}, iterations=20 + fold, seconds=4.0, reason=None)
        return arrays

    def score(self, fold, status, **more):
        scores = {
            "name": "tiny",
            "genome": self.genome.id,
            "reason": "the disk is full",
            "fingerprint": str(fold),
        }
        write_json(self.paths.run(fold_run(self.run, fold)).scores, {**scores, "status": status, **more})

    def join(self):
        join_folds(self.paths, self.run, N)
        return read_scores(self.paths.run(self.run).scores)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    folds = Folds(tmp_path_factory.mktemp("joined"))
    folds.scores = folds.join()
    return folds


@pytest.fixture
def folds(tmp_path):
    return Folds(tmp_path)


def test_each_voxel_is_in_the_validation_of_one_fold_and_in_the_training_of_the_others(joined):
    image, labels = joined.images[0]
    for fold in range(N):
        train, validation = (
            open_prepared(Path(joined.paths.fold_data(fold, split))) for split in ("train", "validation")
        )
        cuts = [0, 2, 4, 7]
        inside = slice(cuts[fold], cuts[fold + 1])
        np.testing.assert_array_equal(validation.images[0].image[...], image[inside])
        np.testing.assert_array_equal(validation.images[0].labels[...], labels[inside])
        n = 2 if fold == 1 else 1
        rest = np.concatenate([part.image[...] for part in train.images[:n]])
        np.testing.assert_array_equal(rest, np.delete(image, inside, axis=0))


def test_the_joined_probabilities_are_those_of_the_folds_in_the_order_of_the_validation_images(joined):
    files = joined.paths.run(joined.run)
    validation = open_prepared(Path(joined.paths.data("validation")))
    flat = [array for of_fold in joined.probabilities for array in of_fold]
    with open_probabilities(files.validation) as stored:
        assert stored.checksum == validation.checksum
        assert len(stored.arrays) == len(validation.images) == 2 * N
        for mine, own, image in zip(stored.arrays, flat, validation.images, strict=True):
            np.testing.assert_array_equal(mine[...], own)
            assert own.shape[1:] == image.labels.shape
    truth = np.concatenate([image.labels[...].ravel() for image in validation.images])
    predicted = np.concatenate([array.argmax(axis=0).ravel() for array in flat])
    assert joined.scores.ari == pytest.approx(adjusted_rand_score(truth, predicted), abs=1e-12)
    assert joined.scores.validation.n_voxels == sum(image.size for image, _ in joined.images)
    assert joined.scores.volumes == [image.name for image in validation.images]


def test_the_scores_are_of_all_folds_together(joined):
    scores = joined.scores
    assert (scores.status, scores.folds, scores.iterations, scores.seconds) == ("ok", N, 21, 12.0)
    (outcome,) = read_outcomes(joined.paths, [joined.run])
    assert outcome.trainings == [f"r0/001/folds/{fold}" for fold in range(N)]
    assert outcome.history("ari") == [(10, pytest.approx(0.1))]  # the last row is missing in one fold
    (attempt,) = attempts_at(joined.paths, outcome)
    assert attempt.iterations == N * 21


def test_the_members_are_the_networks_of_all_folds_with_equal_shares(joined, tmp_path):
    outcome = read_outcome(joined.paths, joined.run)
    members = Member.of(joined.paths, outcome, 0.75)
    assert [each.run for each in members] == outcome.trainings
    assert [each.weight for each in members] == [0.25] * N
    assert [each.ari for each in members] == [0.0, 0.1, 0.2]
    for fold, member in enumerate(members):
        place = tmp_path / str(fold)
        place.mkdir()
        member.write(place)
        own = joined.paths.run(fold_run(joined.run, fold)).weights
        assert (place / "model.safetensors").read_bytes() == own.read_bytes()
    assert len(_networks(joined.paths, joined.run, 3)) == N


def test_a_fold_without_a_network_is_named_and_retried_alone(folds):
    folds.score(1, "unfinished")
    scores = folds.join()
    assert (scores.status, scores.ari) == ("unfinished", None)
    assert scores.reason == "fold 1 unfinished: the disk is full"
    (work,) = find(folds.paths, ("unfinished",))
    assert work.name == "r0/001/folds/1"
    removed = {str(path) for path in work.files}
    files = folds.paths.run(folds.run)
    assert removed == {
        *files.outputs(),
        *files.of_folds(N)[1].outputs(),
        folds.paths.ranking,
        folds.paths.report,
    }
    assert find(folds.paths, ("unfinished",), ["r0/001"]) == [work]
    assert find(folds.paths, ("unfinished",), ["r0/000"]) == []


def test_probabilities_of_other_images_are_refused(folds):
    prepare_folds(folds.paths, [write(folds.paths.results, *pair((7, 40, 48), 5), "c")])
    with pytest.raises(InputError, match="made from other validation images than .*folds/0/validation"):
        folds.join()


def test_a_part_without_a_label_is_left_out_and_a_missing_class_is_named(tmp_path, caplog):
    image, labels = pair((6, 40, 40))
    labels[0:2] = 9
    labels[4:] %= 2
    other = pair((1, 40, 60), 1)
    other[1][:, :, 40:] %= 2
    paths = ResultPaths(tmp_path / "results")
    caplog.set_level(logging.INFO)
    prepare_folds(paths, [write(tmp_path, image, labels, "a"), write(tmp_path, *other, "b")], ignore_label=9)
    assert "a.tif[0:2, 0:40, 0:40]: has no labelled voxel, and is left out" in caplog.text
    warnings = {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING}
    assert "class organelle has no voxel in the validation labels of fold 2" in warnings
    whole = open_prepared(Path(paths.data("validation")))
    one_by_one = [
        image.name
        for fold in range(N)
        for image in open_prepared(Path(paths.fold_data(fold, "validation"))).images
    ]
    assert [image.name for image in whole.images] == one_by_one
    assert len(one_by_one) == 5


def test_a_fold_of_one_class_is_refused(tmp_path):
    image, labels = pair((3, 40, 40))
    labels[2] = 1
    message = "the validation labels of fold 2 show one class only, cell, .*; use fewer folds"
    with pytest.raises(InputError, match=message):
        prepare_folds(ResultPaths(tmp_path / "results"), [write(tmp_path, image, labels, "a")])


def test_parts_have_the_statistics_of_the_whole_image(tmp_path):
    image, labels = pair((6, 40, 40))
    image[3:] += 50
    paths = ResultPaths(tmp_path / "results")
    prepare_folds(paths, [write(tmp_path, image, labels)], normalisation="image")
    for split in ("train", "validation"):
        for fold in range(N):
            prepared = open_prepared(Path(paths.fold_data(fold, split)))
            for part in prepared.images:
                (centre,), (scale,) = part.statistics(part.recorded.settings)
                assert (centre, scale) == pytest.approx((image.mean(), image.std()))
