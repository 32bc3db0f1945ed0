"""``import genenet``: networks from arrays, equal to what the command line makes of files."""

import doctest
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

import genenet
from genenet.api import arrays, genomes, refit, scoring, selection, training
from genenet.config.normalisation import NormalisationSettings
from genenet.config.settings import PrepareSettings
from genenet.config.stages import REFIT_REPEAT
from genenet.core.atomic_files import write_json
from genenet.core.paths import ResultPaths
from genenet.networks.weights import load_weights
from genenet.training.prepare import prepare
from genenet.training.run import TrainingRun
from genenet.volumes import ome_zarr
from tests.support import runs

CLASSES = ["background", "blob", "absent"]
REGIONS = {
    "net": {
        "n_convkernels": [3, 12],
        "n_stacks": [0, 1],
        "n_convlayers": 1,
        "input_size": 24,
        "norm": "batch",
    }
}
TRAIN, VALIDATION = runs.blobs((2, 64, 64), 1), runs.blobs((1, 48, 56), 2)
SETTINGS = {"iterations": 20, "batch_size": 2, "threads": 1, "validation_interval": 10, "device": "cpu"}


def trained(index=0, **changes):
    values = {"validation": VALIDATION, "classes": CLASSES, **SETTINGS, **changes}
    values = {"image": TRAIN[0], "labels": TRAIN[1], **values}
    return genenet.train(genenet.random_genome(REGIONS, seed=1, index=index), **values)


@pytest.fixture(scope="module")
def networks():
    return [trained(index) for index in range(3)]


@pytest.fixture(scope="module")
def ensemble(networks):
    return genenet.make_ensemble(networks, voxel_size_nm=(40, 10, 10), size=2)


@pytest.mark.parametrize(
    ("module", "n_lines"), [(genomes, 11), (training, 5), (scoring, 3), (selection, 6), (refit, 6)]
)
def test_the_examples_run(module, n_lines):
    found = doctest.testmod(module)
    assert found.attempted >= n_lines
    assert not found.failed


@pytest.mark.process
def test_importing_is_light_and_names_are_there():
    code = (
        "import sys, genenet; assert set(genenet.__all__) <= set(dir(genenet));"
        "print(genenet.__version__, 'numpy' in sys.modules, genenet.random_genome({}).name, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"{genenet.__version__} False r0_000 False\n"
    assert all(getattr(genenet, name) for name in genenet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        genenet.trian  # noqa: B018


@pytest.mark.process
def test_drawing_is_that_of_the_command_line(tmp_path):
    settings = {"seed": 7, "regions": REGIONS}
    (tmp_path / "s.json").write_text(json.dumps(settings))
    out = tmp_path / "g.json"
    runs.run(
        runs.genenet("generate", "--settings", tmp_path / "s.json", "--index", 2, "--out", out)
    ).check_returncode()
    genenet.read_genome(str(out)).write(str(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == out.read_bytes()
    assert genenet.read_genome(out) == genenet.random_genome(REGIONS, seed=7, index=2)
    assert 30 <= genenet.random_genome(preset="published").net.value("n_convkernels") <= 110


def test_the_old_name_of_random_genome_warns():
    with pytest.warns(
        DeprecationWarning, match=r"genenet.draw\(\) is now genenet.random_genome\(\)"
    ) as caught:
        genome = genenet.draw(REGIONS, seed=7, index=2)
    assert caught[0].filename == __file__  # the warning names the line that must change
    assert genome == genenet.random_genome(REGIONS, seed=7, index=2)


@pytest.mark.process
def test_training_gives_the_weights_of_the_command_line(tmp_path):
    """From arrays and from prepared files, bit for bit; the score is the same too."""
    command = runs.make(tmp_path, **SETTINGS)
    genome = genenet.read_genome(tmp_path / "genome.json")
    here = genenet.train(genome, *TRAIN, validation=VALIDATION, classes=CLASSES, seed=5, **SETTINGS)
    runs.run([*command, "--out", tmp_path / "run"]).check_returncode()
    there = genenet.build(genome, len(CLASSES))
    load_weights(there, genome, tmp_path / "run/model.safetensors")
    for name, tensor in there.state_dict().items():
        assert torch.equal(tensor, here.network.state_dict()[name]), name
    scores = json.loads((tmp_path / "run/scores.json").read_text())["validation"]
    assert scores["ari"] == here.ari
    assert [row.iteration for row in here.history] == [10, 20]


@pytest.mark.process
def test_an_ensemble_segments_as_the_command_line(tmp_path, ensemble):
    """Drawn, trained, chosen and saved from Python; segmented from both, equal in each voxel."""
    image, labels = runs.blobs((3, 70, 90), 4)
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    folder = ensemble.save(tmp_path / "ensemble")
    options = ["--ensemble", folder, tmp_path / "image.tif", "--out", tmp_path / "a.ome.zarr"]
    more = ["--probabilities", "--precision", "float32", "--threads", 1, "--device", "cpu"]
    runs.run(runs.genenet("segment", *options, *more)).check_returncode()
    store = ome_zarr.open_store(tmp_path / "a.ome.zarr")
    classes = ensemble.segment(image, threads=1)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, store.labels[:])
    assert np.array_equal(ensemble.probabilities(image, threads=1), store.root[1:])
    assert genenet.score(labels, classes, classes=CLASSES)["ari"] > 0.2


@pytest.mark.process
def test_files_segmented_from_python(tmp_path, ensemble):
    """A store that Python began is the command line's, and the other way round: same fingerprint."""
    image = runs.blobs((3, 70, 90), 4)[0]
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    place = tmp_path / "image.tif", tmp_path / "a.ome.zarr"
    region = [None, [0, 50], None]
    classes = genenet.segment(ensemble, *place, region=region, threads=1, device="cpu")
    assert np.array_equal(classes[:], ensemble.segment(image[:, :50], threads=1))
    folder = ensemble.save(tmp_path / "ensemble")
    command = ["segment", "--ensemble", folder, place[0], "--out", place[1], "--region", ":,0:50,:"]
    receipt = tmp_path / "r.json"
    runs.run(
        runs.genenet(*command, "--receipt", receipt, "--threads", 1, "--device", "cpu")
    ).check_returncode()
    assert json.loads(receipt.read_text())["written"] == 0


def test_saved_and_loaded_it_is_the_same(tmp_path, ensemble):
    folder = ensemble.save(tmp_path / "ensemble")
    again = genenet.load_ensemble(folder)
    assert (again.members, again.classes, again.scores) == (
        ensemble.members,
        ensemble.classes,
        ensemble.scores,
    )
    image = VALIDATION[0]
    assert np.array_equal(again.segment(image), ensemble.segment(image))
    assert again.save(folder).is_dir()
    (tmp_path / "mine").mkdir()
    with pytest.raises(genenet.InputError, match="mine: exists and isn't an ensemble"):
        again.save(tmp_path / "mine")
    assert repr(again) == f"<Ensemble of {', '.join(again.members)}: 3 classes>"


def test_the_best_are_chosen(networks):
    ranked = sorted(networks, key=lambda t: -t.ari)
    one = genenet.make_ensemble(networks, voxel_size_nm=(40, 10, 10), size=1)
    assert one.members == [ranked[0].genome.name]
    assert one.scores["ari"] == pytest.approx(ranked[0].ari)
    best = genenet.make_ensemble(networks, voxel_size_nm=(40, 10, 10))
    assert best.scores["ari"] >= one.scores["ari"]
    weighted = genenet.make_ensemble(networks, voxel_size_nm=(40, 10, 10), size=3, combination="weighted")
    weights = [member["weight"] for member in weighted.description["members"]]
    assert weights == [max(t.ari, 1e-3) for t in ranked]


def test_planes_stay_planes(ensemble):
    image, labels = (array[0] for array in VALIDATION)
    flat = genenet.train(
        genenet.random_genome(REGIONS, seed=1),
        image,
        labels,
        validation=(image, labels),
        classes=CLASSES,
        **SETTINGS,
    )
    assert flat.probabilities.shape == (3, 1, *image.shape)
    assert ensemble.segment(image).shape == image.shape
    probabilities = ensemble.probabilities(image)
    assert probabilities.shape == (3, *image.shape)
    assert np.allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(ensemble.segment(image), ensemble.segment(image[None])[0])


def test_arrays_of_other_libraries(ensemble):
    """Of torch, of Zarr (read block by block), and lists."""
    image = VALIDATION[0]
    expected = ensemble.segment(image)
    for other in (torch.from_numpy(image), zarr.array(image)):
        assert np.array_equal(ensemble.segment(other), expected)
    assert np.array_equal(ensemble.segment(image[0].tolist()), expected[0])


def test_torch_keeps_its_threads(ensemble):
    before = torch.get_num_threads()
    ensemble.segment(VALIDATION[0], threads=2)
    trained(threads=2)
    assert torch.get_num_threads() == before


IMAGE, LABELS = TRAIN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": LABELS.astype(float)}, "labels: labels are float64; give the class ids as integers"),
        ({"labels": LABELS[:, :60]}, "labels: its shape 2 x 60 x 64 isn't that of image, 2 x 64 x 64"),
        ({"labels": LABELS * 9}, "labels: label 9 .* is none of the 3 classes, .* ignore_label: 9"),
        ({"labels": LABELS * 0 + 9, "ignore_label": 9}, "labels: all voxels are ignored"),
        ({"image": IMAGE[:, :20], "labels": LABELS[:, :20]}, "image: is 20 x 64 voxels .*input, 24 x 24"),
        ({"image": IMAGE * np.nan}, "image: holds NaN"),
        ({"image": IMAGE * 0}, "image: all voxels are 0"),
        ({"image": IMAGE[0, 0]}, "image: has 1 dimensions; 2 or 3"),
        ({"image": IMAGE[:0], "labels": LABELS[:0]}, "image: holds no voxels"),
        ({"validation": VALIDATION[0]}, "validation: give a pair"),
        ({"validation": (VALIDATION[0], LABELS)}, "validation labels: its shape"),
        ({"iterations": 0}, "train: iterations: .* greater than 0, not 0"),
        ({"iteration": 3}, "train: iteration: unknown key; did you mean iterations?"),
        ({"refit_iterations": 5}, "train: refit_iterations: is a key of config.yaml only; give iterations"),
        ({"tensorboard": True}, "train: tensorboard: is a setting of genenet train"),
        ({"classes": ["one"] * 300}, "300 classes: 1 to 254 are possible"),
        ({"seed": -1}, "train: seed: .* greater than or equal to 0, not -1"),
        ({"normalisation": "none"}, "train: normalisation: .*'volume', 'slice'"),
    ],
)
def test_wrong_arrays_and_settings(changes, said):
    values = {"image": IMAGE, "labels": LABELS, "validation": VALIDATION, "classes": CLASSES, **SETTINGS}
    with pytest.raises(ValueError, match=said) as caught:
        genenet.train(genenet.random_genome(REGIONS), **{**values, **changes})
    assert isinstance(caught.value, genenet.InputError)
    assert len(str(caught.value).splitlines()) == 1


def test_other_mistakes(tmp_path, networks, ensemble):
    def fails(said, function, *args, **options):
        with pytest.raises(genenet.InputError, match=said):
            function(*args, **options)

    fails(
        "random_genome: regions.net.n_kernels: unknown hyperparameter; did you mean n_convkernels",
        genenet.random_genome,
        {"net": {"n_kernels": 3}},
    )
    fails("random_genome: index", genenet.random_genome, index=-1)
    fails("random_genome: preset: .*published", genenet.random_genome, preset="guay")
    fails("no trained networks", genenet.make_ensemble, [], voxel_size_nm=(1, 1, 1))
    fails("voxel_size_nm.0: .*greater than 0", genenet.make_ensemble, networks, voxel_size_nm=(0, 1, 1))
    fails("size.*greater than 0", genenet.make_ensemble, networks, voxel_size_nm=(1, 1, 1), size=0)
    other = trained(classes=["a", "b", "c"])
    fails("other classes", genenet.make_ensemble, [*networks, other], voxel_size_nm=(1, 1, 1))
    fails("ensemble.json: no such file", genenet.load_ensemble, tmp_path)
    fails("image: all voxels are 0", ensemble.segment, IMAGE * 0)
    fails("image: holds NaN", ensemble.segment, IMAGE * np.nan)
    fails("segment: turn: unknown key", ensemble.segment, IMAGE, turn=True)
    fails("segment: .*device", ensemble.segment, IMAGE, device="tpu")
    fails(
        "nowhere.tif: no such file", genenet.segment, ensemble, tmp_path / "nowhere.tif", tmp_path / "o.zarr"
    )
    fails("labels are float64", genenet.score, LABELS * 1.0, LABELS)
    fails("its shape", genenet.score, LABELS, LABELS[:1])
    fails("predicted: ids 0 to 1; those of 1 classes", genenet.score, LABELS * 0, LABELS, classes=["a"])


def as_masked(array, inside):
    return np.ma.masked_array(array, mask=~inside)


def test_masked_labels_are_neither_learnt_nor_scored():
    """As voxels with the ignored label; what stands at masked voxels doesn't matter."""
    labels = LABELS
    inside = np.ones(labels.shape, bool)
    inside[:, :10, :30] = False
    expected = trained(labels=np.where(inside, labels, 9).astype(np.uint8), ignore_label=9)
    for wrong, ignored in ((77, None), (77, 9), (-3, None)):
        held = as_masked(np.where(inside, labels, wrong), inside)
        found = trained(labels=held, ignore_label=ignored)
        assert [row.training_loss for row in found.history] == [row.training_loss for row in expected.history]
        assert found.ari == expected.ari
    n = int(inside.sum())
    assert genenet.score(as_masked(labels, inside), labels)["n_voxels"] == n
    assert genenet.score(labels, as_masked(np.where(inside, labels, 99), inside))["n_voxels"] == n


def test_masked_voxels_of_images_count_nowhere(networks):
    """An image with its borders masked is trained on, normalised and segmented as if they held anything else."""
    image = IMAGE
    inside = np.zeros(image.shape, bool)
    inside[:, 4:60, 6:62] = True
    found = [
        trained(image=as_masked(np.where(inside, image, fill).astype(dtype), inside))
        for fill, dtype in ((0, np.uint8), (255, np.uint8), (np.nan, np.float32))
    ]
    losses = [[row.training_loss for row in each.history] for each in found]
    assert losses[0] == losses[1] == losses[2]
    assert found[0].dtype == "uint8"
    assert losses[0] != [row.training_loss for row in trained().history]
    ensemble = genenet.make_ensemble(networks, voxel_size_nm=(40, 10, 10), size=2)
    segmented = [
        ensemble.segment(as_masked(np.where(inside, image, fill).astype(dtype), inside), threads=1)
        for fill, dtype in ((0, np.uint8), (255, np.uint8))
    ]
    assert np.array_equal(*segmented)
    assert not segmented[0][~inside].any()
    assert segmented[0][inside].any()


def test_negative_labels_may_be_ignored():
    """As PyTorch and scikit-image write labels that mean nothing: bit for bit what another number gives."""
    inside = np.ones(LABELS.shape, bool)
    inside[:, :10, :30] = False
    held = {-1: np.where(inside, LABELS.astype(np.int16), -1), 9: np.where(inside, LABELS, 9)}
    negative, other = (trained(labels=labels, ignore_label=ignored) for ignored, labels in held.items())
    assert [row.training_loss for row in negative.history] == [row.training_loss for row in other.history]
    assert negative.ari == other.ari
    assert genenet.score(held[-1], LABELS, ignore_label=-1)["n_voxels"] == np.count_nonzero(inside)


def test_ignored_0_lets_classes_begin_at_1():
    expected = trained()
    found = trained(
        labels=LABELS + 1, validation=(VALIDATION[0], VALIDATION[1].astype(np.int16) + 1), ignore_label=0
    )
    assert found.ari == expected.ari
    scores = genenet.score([[0, 1, 2, 2]], [[1, 0, 1, 0]], ignore_label=0)
    assert (scores["n_voxels"], scores["accuracy"]) == (3, pytest.approx(2 / 3))


def test_scores_leave_out_what_is_ignored():
    labels = np.array([[0, 1, 9, 1]])
    found = genenet.score(labels, [[0, 1, 1, 0]], ignore_label=9, classes=["a", "b"])
    assert (found["n_voxels"], found["class_names"]) == (3, ["a", "b"])
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_several_images_are_learnt_from():
    other = runs.blobs((1, 40, 72), 3)
    one, several = trained(), trained(more=[other])
    assert several.ari != one.ari
    counts = [np.bincount(labels.ravel(), minlength=3) for labels in (TRAIN[1], other[1])]
    data = arrays.labelled_arrays(
        [TRAIN, other], [VALIDATION], (3, None), NormalisationSettings(over="volume"), (1, 24, 24)
    )
    assert data.counts == sum(counts).tolist()
    assert [image.name for image in data.train] == ["image 1", "image 2"]
    assert [image.image.shape for image in data.train] == [(2, 64, 64), (1, 40, 72)]
    for more, said in (
        ([other[0]], "training images: give a pair"),
        ([(other[0], other[1][:, 1:])], "labels 2: its shape 1 x 39 x 72"),
        ([runs.blobs((1, 20, 72), 3)], "image 2: is 20 x 72 voxels"),
    ):
        with pytest.raises(genenet.InputError, match=said):
            trained(more=more)


def test_a_refit_learns_from_the_validation_image_too(ensemble, tmp_path):
    refitted = genenet.refit(ensemble, [TRAIN, VALIDATION], **SETTINGS)
    again = genenet.refit(ensemble, [TRAIN, VALIDATION], **SETTINGS)
    assert (refitted.members, refitted.scores) == (ensemble.members, ensemble.scores)
    assert [m["weight"] for m in refitted.description["members"]] == [
        m["weight"] for m in ensemble.description["members"]
    ]
    assert refitted.description["refit"] == {
        "images": ["image 1", "image 2"],
        "refitted": ensemble.members,
        "failed": {},
    }
    probabilities = [each.probabilities(VALIDATION[0], threads=1) for each in (ensemble, refitted, again)]
    assert not np.array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[1], probabilities[2])
    on_train_alone = genenet.refit(ensemble, [TRAIN], **SETTINGS)
    assert not np.array_equal(probabilities[1], on_train_alone.probabilities(VALIDATION[0], threads=1))
    assert genenet.load_ensemble(refitted.save(tmp_path / "again")).description == refitted.description
    with pytest.raises(genenet.InputError, match=r"refit: iteratons: unknown key; did you mean iterations"):
        genenet.refit(ensemble, [TRAIN], iteratons=3)
    with pytest.raises(genenet.InputError, match=r"refit: refit_iterations: .*; give iterations"):
        genenet.refit(ensemble, [TRAIN], refit_iterations=3)
    apart = {**ensemble.description, "objects": [{"name": CLASSES[1], "of": [CLASSES[1]]}]}
    with pytest.raises(genenet.InputError, match=r"refit: the ensemble tells objects apart"):
        genenet.refit(replace(ensemble, description=apart), [TRAIN], **SETTINGS)


def test_members_of_one_name_or_one_genome_stay_apart_in_a_refit(networks, tmp_path):
    """The first genomes of two searches have one name; a genome that was trained twice is refitted differently."""
    small = genenet.random_genome({"net": {**REGIONS["net"], "n_convkernels": 2}}, seed=2)
    values = {"validation": VALIDATION, "classes": CLASSES, **SETTINGS}
    others = [genenet.train(small, *TRAIN, **values, seed=seed) for seed in (1, 2)]
    chosen = [networks[0], *others]
    assert {each.genome.name for each in chosen} == {"r0_000"}
    before = genenet.make_ensemble(chosen, voxel_size_nm=(40, 10, 10), size=3)
    after = genenet.refit(before, [TRAIN, VALIDATION], **SETTINGS)
    ids = [[member["genome"] for member in each.description["members"]] for each in (before, after)]
    assert ids[0] == ids[1]
    place = after.save(tmp_path / "after") / "members"
    weights = [
        (place / f"{index:02d}" / "model.safetensors").read_bytes()
        for index, genome in enumerate(ids[1])
        if genome == small.id
    ]
    assert len(weights) == 2
    assert weights[0] != weights[1]


def test_the_reference_holds_all_voxels_that_are_not_masked():
    """As in the workflow: of sparse labels, the predictions for the voxels without a label count too."""
    image, labels = VALIDATION
    columns = np.broadcast_to(np.arange(labels.shape[2]), labels.shape)
    sparse = np.where(columns < 12, labels, 9)
    of = {}
    for name, given in (("whole", image), ("masked", as_masked(image, columns < 30))):
        found = trained(validation=(given, sparse), ignore_label=9)
        ensemble = genenet.make_ensemble([found], voxel_size_nm=(40, 10, 10))
        counted = found.probabilities[..., :30] if name == "masked" else found.probabilities
        shares = np.bincount(counted.argmax(axis=0).ravel(), minlength=3) / counted[0].size
        of[name] = ensemble.description["reference"]["validation"]["class_shares"]
        assert of[name] == pytest.approx(shares, abs=1e-3)
    assert of["whole"] != of["masked"]


@pytest.mark.process
def test_a_refit_is_that_of_the_workflow(ensemble, tmp_path):
    """Same weights, bit for bit."""
    data = tmp_path / "results/data"
    data.mkdir(parents=True)
    sources = []
    for name, (image, labels) in (("a", TRAIN), ("b", VALIDATION)):
        for kind, array in (("image", image), ("labels", labels)):
            tifffile.imwrite(tmp_path / f"{name}_{kind}.tif", array, photometric="minisblack")
        files = {kind: [tmp_path / f"{name}_{kind}.tif"] for kind in ("image", "labels")}
        sources.append({**files, "region": None})
    settings = PrepareSettings(images=sources, classes=CLASSES, ignore_label=None, voxel_size_nm=(40, 10, 10))
    prepare(settings, data / "refit.zarr.zip")
    chosen = training.arguments({**SETTINGS, "seed": 0, "normalisation": "volume"}, "train")
    values = chosen.without_validation().model_dump(mode="json", exclude={"seed", "normalisation"})
    wanted = {"seed": 0, "repeat": REFIT_REPEAT, "normalisation": "volume", "training": values}
    write_json(tmp_path / "s.json", wanted)
    refitted = genenet.refit(ensemble, [TRAIN, VALIDATION], **SETTINGS).save(tmp_path / "ensemble")
    genome = genenet.read_genome(refitted / "members/00/genome.json")
    genome.write(tmp_path / "g.json")
    files = ResultPaths(tmp_path / "results").run("refit/000")
    assert TrainingRun(tmp_path / "g.json", data / "refit.zarr.zip", None, tmp_path / "s.json", files).run()
    own, theirs = (genenet.build(genome, len(CLASSES)) for _ in range(2))
    load_weights(own, genome, refitted / "members/00/model.safetensors")
    load_weights(theirs, genome, Path(files.weights))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, own.state_dict()[name]), name
