"""Searches that start from another one: which networks are found, what trainings begin with, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genenet.cluster import pack_members
from genenet.cluster.pack_room import room_by_settings
from genenet.config.model import check_config
from genenet.config.settings import TrainSettings
from genenet.config.stages import settings_json, stage_settings
from genenet.config.start import READ, ensemble_folder, member_genomes, start_files
from genenet.core.atomic_files import read_csv, write_json
from genenet.core.errors import InputError
from genenet.core.outputs import ObjectClass, Outputs, other_classes
from genenet.ensembles import description
from genenet.ensembles.refit import refit
from genenet.ensembles.start import StartFile, find_start, start_lines, start_of
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.report.provenance import provenance
from genenet.status.start import start_text
from genenet.training import inheritance
from genenet.training.outcome_reader import read_outcome
from genenet.training.scores import read_scores
from genenet.training.stopping import Stop
from tests.support import runs
from tests.support.configs import changed
from tests.support.started import PLAIN, Searches


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Searches(tmp_path_factory.mktemp("searches"))


@pytest.fixture
def searches(made, tmp_path):
    """A copy whose files may be changed."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return object.__new__(Searches).open(tmp_path)


@pytest.mark.parametrize("of_ensemble", [False, True])
def test_a_genome_that_is_found_begins_from_its_published_weights(searches, of_ensemble):
    searches.start(Path(searches.before.ensemble) if of_ensemble else None)
    searches.genome("r0/003")
    assert searches.training("r0/003", iterations=5).run()
    first = read_scores(searches.now.run("r0/003").scores)
    inherited = first.inherited
    folder = searches.before.ensemble if of_ensemble else searches.old
    assert (inherited.run, inherited.start, inherited.new_head) == ("r0/000", str(folder), False)
    assert (inherited.copied, inherited.fresh) == (4, 0)
    assert inherited.iterations == (None if of_ensemble else 20)
    assert first.iterations_of_weights == (5 if of_ensemble else 25)


def test_what_it_begins_with_are_the_weights_bit_for_bit(searches):
    searches.start()
    genome = Genome("again", {"net": PLAIN})
    network = Network(plan(genome.net, 3))
    inheritance.begin_with(start_of(searches.now, "r0/000", genome), network, 1, Outputs(runs.CLASSES))
    before = load_file(searches.before.run("r0/000").weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_genome_that_is_not_found_begins_as_ever(searches, caplog):
    caplog.set_level("INFO")
    searches.start()
    searches.genome("r0/001", n_convkernels=4)
    assert searches.training("r0/001", iterations=5).run()
    assert f"{searches.old} has no network of this genome" in caplog.text
    plain = searches.training("r0/001", iterations=5, starts=False)
    started = read_scores(searches.now.run("r0/001").scores)
    weights = searches.now.run("r0/001").weights.read_bytes()
    shutil.rmtree(searches.now.run("r0/001").folder)
    assert plain.run()
    assert searches.now.run("r0/001").weights.read_bytes() == weights
    assert started.inherited is None
    assert read_scores(searches.now.run("r0/001").scores).fingerprint == started.fingerprint


@pytest.mark.parametrize("classes", [["background", "vessel", "absent"], ["background", "blob"]])
def test_with_other_classes_only_the_last_layer_begins_anew_and_that_is_said(searches, classes, caplog):
    caplog.set_level("INFO")
    searches.start()
    genome = Genome("again", {"net": PLAIN})
    network = Network(plan(genome.net, len(classes)))
    head = network.head.weight.detach().clone()
    outputs = Outputs(classes)
    found = inheritance.begin_with(start_of(searches.now, "r0/000", genome), network, 1, outputs)
    assert (found.new_head, found.copied, found.fresh) == (True, 3, 1)
    assert "the last layer begins with random weights, since the classes are others" in caplog.text
    before = load_file(searches.before.run("r0/000").weights)
    own = network.state_dict()
    assert torch.equal(network.head.weight, head)
    assert all(torch.equal(own[name], before[name]) for name in own if not name.startswith("head."))


def test_the_classes_that_are_others_are_named():
    before = Outputs(["ground", "cell"])
    assert other_classes(before, Outputs(["ground", "cell"])) == ""
    assert "(new: granule)" in other_classes(before, Outputs(["ground", "cell", "granule"]))
    assert "(before: cell)" in other_classes(before, Outputs(["ground"]))
    assert "in another order" in other_classes(before, Outputs(["cell", "ground"]))
    border = Outputs(["ground", "cell"], [ObjectClass(name="cell", of=["cell"])])
    assert "(new: cell border)" in other_classes(before, border)


def test_a_stopped_training_ends_with_the_same_weights_without_reading_the_start_again(searches, monkeypatch):
    searches.start()
    for run in ("r0/000", "r0/001"):
        searches.genome(run)
    assert searches.training("r0/000", iterations=20).run()
    done, stop = [], Stop()
    monkeypatch.setattr(
        Stop, "__call__", lambda self: done.append(1) or ("stopped" if len(done) == 7 else None)
    )
    assert not searches.training("r0/001", iterations=20).run(stop)
    searches.before.run("r0/000").weights.unlink()
    assert searches.training("r0/001", iterations=20).run()
    whole, resumed = (searches.now.run(f"r0/00{i}") for i in range(2))
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    assert read_scores(resumed.scores).inherited == read_scores(whole.scores).inherited


def test_the_fingerprint_says_which_weights_and_whether_the_last_layer_is_kept(searches):
    prints = []
    for values in ({}, {"classes": ["a", "b", "c"]}):
        searches.start(**values)
        searches.genome("r0/000")
        shutil.rmtree(searches.now.run("r0/000").folder, ignore_errors=True)
        assert searches.training("r0/000", iterations=5).run()
        prints.append(read_scores(searches.now.run("r0/000").scores).fingerprint)
    shutil.rmtree(searches.now.run("r0/000").folder)
    assert searches.training("r0/000", iterations=5, starts=False).run()
    prints.append(read_scores(searches.now.run("r0/000").scores).fingerprint)
    assert len(set(prints)) == 3


def test_a_validation_on_images_that_were_learned_from_is_a_warning(searches, caplog):
    name = str(read_scores(searches.before.run("r0/000").scores).volumes[0])
    searches.start(learned_from=[f"{name}[0:1, :, 20:30]"])
    searches.genome("r0/000")
    assert searches.training("r0/000", iterations=5).run()
    assert f"may have learned from {name}, so scores are too high" in caplog.text


def test_regions_of_one_file_overlap_where_all_their_axes_do():
    start = StartFile(
        folder="old", classes=["a"], members=[], learned_from=["a.tif[0:8, :, 0:20]"], networks=[NETWORK]
    )
    assert start.seen(["a.tif", "a.tif[4:9, :, 10:30]"]) == ["a.tif", "a.tif[4:9, :, 10:30]"]
    assert start.seen(["b.tif", "a.tif[8:9, :, :]", "a.tif[:, :, 20:30]"]) == []


NETWORK = {"run": "r0/000", "genome": "a", "genome_file": "g", "weights": "w", "checksum": "c"}


def test_of_several_networks_of_a_genome_that_of_the_same_name_and_fold_is_taken():
    names = ["r0/001/folds/0", "r0/001/folds/1", "baselines/unet2015", "baselines/unet2015_2"]
    networks = [{**NETWORK, "run": name} for name in names]
    start = StartFile(folder="old", classes=["a"], members=[], networks=networks)
    assert start.network_of("r0/007", "b") is None
    assert start.network_of("baselines/unet2015_2", "a").run == "baselines/unet2015_2"
    assert start.network_of("r0/007", "a").run == "baselines/unet2015"  # no fold, so no network of a fold
    assert start.network_of("r0/001/folds/1", "a").run == "r0/001/folds/1"
    assert start.network_of("r0/001/folds/5", "a").run == "r0/001/folds/0"


def test_weights_that_change_later_are_one_line(searches):
    searches.start()
    searches.genome("r0/000")
    path = searches.before.run("r0/000").weights
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(
        InputError, match=r"weights have changed since .*start.json was written; start the workflow"
    ):
        searches.training("r0/000", iterations=5).run()
    with pytest.raises(InputError, match="begins with the weights of another search .*--results"):
        searches.training("r0/000", results=False).run()


def test_no_search_an_unfinished_one_or_another_version_is_one_line(searches):
    with pytest.raises(InputError, match="nowhere: no such folder; name the results of a finished search"):
        find_start(searches.folder / "nowhere")
    (searches.folder / "new").mkdir()
    with pytest.raises(InputError, match="new: holds neither the results of a search nor an ensemble"):
        find_start(searches.folder / "new")
    path = Path(searches.before.ensemble) / "ensemble.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "new_key": 1}))
    with pytest.raises(InputError, match=r"new_key: unknown key.*another version may have written"):
        find_start(searches.old)
    path.write_text(json.dumps({**values, "format": "genenet.ensemble/2"}))
    with pytest.raises(InputError, match="its format, genenet.ensemble/2, is that of another version"):
        find_start(searches.old)
    shutil.rmtree(path.parent)
    with pytest.raises(InputError, match="old: this search is unfinished, it has no ensemble yet"):
        find_start(searches.old)
    assert READ == description.FORMAT


def test_status_and_report_say_what_trainings_start_from(searches):
    config = configured(searches, **{"training.start": str(searches.old)})
    assert start_text(config, searches.now) == (
        f"trainings of genomes that {searches.old} has networks of begin with their weights"
    )
    searches.start()
    assert "the last layer begins with random weights, since the classes are others" in start_text(
        config, searches.now
    )
    searches.genome("r0/000")
    assert searches.training("r0/000", iterations=5).run()
    said = provenance(searches.now, [read_outcome(searches.now, "r0/000")], [])["Start"]
    assert said == f"1 of 1 training began with weights of {searches.old}"


def configured(searches, **values):
    """The default config with these keys, by their paths."""
    found = changed("results", str(searches.now.results))
    for path, value in values.items():
        node, *parents, last = [found, *path.split(".")]
        for part in parents:
            node = node[part]
        node[last] = value
    return check_config(found)


def test_a_search_of_members_has_as_many_genomes_and_begins_with_their_weights(searches):
    config = configured(searches, search={"from": str(searches.old), "members": True})
    assert (config.search.n_by_round, config.start) == ([1], searches.old)
    assert stage_settings(config, "train").starts
    assert stage_settings(config, "refit").starts
    assert stage_settings(config, "prepare_train").smallest_input_voxels == PLAIN["input_size"]
    (line,) = start_lines(config)
    assert "1 network, 1 member of the ensemble; the last layer begins with random weights" in line
    assert [g.id for g in member_genomes(searches.old)] == [
        g.id for g in member_genomes(Path(searches.before.ensemble))
    ]
    many = configured(searches, search={"from": str(searches.old), "members": True, "n_genomes": 2})
    with pytest.raises(
        InputError, match=r"search.n_genomes: is 2 or more, but the ensemble of .*old has 1 member"
    ):
        start_lines(many)


def test_other_weights_are_other_settings_and_without_a_start_nothing_changes(searches):
    config = configured(searches, **{"training.start": str(searches.old)})
    first = settings_json(config, "start")
    path = searches.before.run("r0/000").weights
    assert path in start_files(searches.old)
    path.write_bytes(path.read_bytes() + b"x")
    assert settings_json(config, "start") != first
    without = configured(searches)
    assert "start" not in settings_json(without, "train")
    assert not TrainSettings.model_validate_json(settings_json(without, "train")).starts


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": {"members": True}}, "search: members: of which ensemble"),
        ({"search": {"from": "OLD"}}, "search: from: only members: true is possible"),
        ({"search": {"from": "nowhere", "members": True}}, "search: nowhere: no such folder"),
        (
            {"search": {"from": "OLD", "members": True, "strategy": "evolution", "n_genomes": [1, 1]}},
            "search: strategy: evolution makes genomes of its own",
        ),
        (
            {"search": {"from": "OLD", "members": True}, "training.start": "elsewhere"},
            "training.start: elsewhere, but search.from is",
        ),
        ({"training.start": "NEW"}, "training.start: .*new is what this search writes; choose another results"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_is_one_line(searches, values, message):
    text = json.dumps(values).replace("OLD", str(searches.old)).replace("NEW", str(searches.now.results))
    with pytest.raises(InputError, match=message) as error:
        configured(searches, **json.loads(text))
    assert len(str(error.value).splitlines()) == 1


def test_the_ensemble_of_a_search_is_found(searches):
    assert ensemble_folder(searches.old) == Path(searches.before.ensemble)
    assert ensemble_folder(Path(searches.before.ensemble)) == Path(searches.before.ensemble)


def test_rounds_of_labelling_are_kept_and_told(searches):
    first = searches.start()
    assert [(each.folder, each.validation_images) for each in first.rounds] == [
        (searches.old, ["validation.tif"])
    ]
    earlier = first.rounds[0].model_copy(
        update={"folder": Path("gone"), "validation": {"ari": 0.5, "mean_iou": None}}
    )
    changed = first.model_copy(update={"rounds": [earlier]})
    Path(searches.before.start).write_text(changed.model_dump_json())
    assert searches.start().rounds == [earlier, *first.rounds]
    config = configured(searches, **{"training.start": str(searches.old)})
    assert start_text(config, searches.now).endswith("round 3 of labelling (ARI on validation: gone 0.500)")


def test_a_refit_begins_with_the_same_weights_and_has_as_many_iterations(searches):
    """Without a start, a refit has those of its ancestors as well, since it begins with random weights."""
    searches.start()
    searches.genome("r0/000")
    assert searches.training("r0/000", iterations=5).run()
    now, data = searches.now, Path(searches.now.data("refit"))
    shutil.copytree(searches.before.ensemble, now.selected)
    data.parent.mkdir(parents=True)
    shutil.copyfile(searches.folder / "train.zarr.zip", data)
    values = {**searches.settings["training"], "stopping": {"weights": "last"}}
    write_json(Path(now.settings("refit")), {**searches.settings, "starts": True, "training": values})
    assert refit(now, "000", Path(now.settings("refit")))
    scores = read_scores(now.run("refit/000").scores)
    assert (scores.status, scores.iterations, scores.inherited.start) == ("ok", 5, str(searches.old))


def test_a_pack_waits_for_the_list_of_networks_and_tells_its_members_where_it_is(searches):
    settings = searches.training("r0/000").settings
    for split in ("train", "validation"):
        target = Path(searches.now.data(split))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(searches.folder / f"{split}.zarr.zip", target)
    (member,) = pack_members.trainings(
        searches.now, 0, "000-000", room_by_settings(settings, 1), None, settings
    )
    assert searches.now.start in member.inputs
    assert "--results" in member.command


def test_weights_that_nothing_beats_are_published_again(searches):
    """They are validated before the first step, so a learning rate that is too high loses nothing."""
    searches.start()
    searches.genome("r0/003")
    assert searches.training("r0/003", iterations=4, validation_interval=2).run()
    files = searches.now.run("r0/003")
    (first, *later), published = read_csv(files.history), read_scores(files.scores)
    before = read_scores(searches.before.run("r0/000").scores)
    assert first["iteration"] == "0"
    assert float(first["validation_ari"]) == pytest.approx(before.ari, abs=1e-6)
    best = max([first, *later], key=lambda row: float(row["validation_ari"]))
    assert published.best_iteration == int(best["iteration"])
    assert published.ari >= before.ari
