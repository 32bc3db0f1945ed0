"""Rounds and rungs from the config; who goes on; children; what can be added."""

import hashlib
import json
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from genenet.config import planned_runs
from genenet.config.model import check_config
from genenet.config.rounds import Rung, expanded, rounds
from genenet.config.search import Evolution, Search
from genenet.config.settings import BreedSettings
from genenet.config.stages import stage_settings
from genenet.config.training import Stopping
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.core.resources import available_cores
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, read_genome
from genenet.search.compatibility import check_additions
from genenet.search.evolution import breed, parent, scored
from genenet.search.halving import gather, rank, read_round, run_of_slot, scores_after
from genenet.search.round_files import RungFile, SlotFile, TrainingResult, read_file, write_file
from genenet.status.status import read_status
from tests.support.runs import genenet, make, run, wait

NET = {
    "log_learning_rate": [-3, -2],
    "n_convkernels": [2, 9],
    "n_stacks": [1, 2],
    "n_convlayers": 1,
    "input_size": [40, 64],
}


def halving(n, eta, rungs, brackets=1):
    return Search(strategy="halving", n_genomes=n, halving={"eta": eta, "rungs": rungs, "brackets": brackets})


def test_rungs_are_eta_times_as_long_with_an_etath_of_the_genomes():
    (only,) = rounds(halving(27, 3, 4), 2700, 100)
    assert only.rungs == (Rung(100, 27), Rung(300, 9), Rung(900, 3), Rung(2700, 1))
    assert only.before(100) is None
    assert only.before(900) == Rung(300, 9)


def test_brackets_are_those_of_hyperband():
    """Li et al. (2018), table 1 but for the units: R = 81, eta = 3."""
    found = rounds(halving(81, 3, 5, brackets=5), 81, 1)
    assert [[(r.n_slots, r.iterations) for r in each.rungs] for each in found] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert not any(each.is_bred for each in found)


@given(st.integers(1, 500), st.integers(2, 5), st.integers(2, 5), st.integers(1, 5000), st.integers(1, 300))
def test_rungs_end_where_a_whole_training_validates(n, eta, k, iterations, interval):
    if n < eta ** (k - 1):
        with pytest.raises(ValueError, match=r"^search\.halving: "):
            rounds(halving(n, eta, k), iterations, interval)
        return
    assume(iterations >= interval * eta ** (k - 1))  # or rungs may fall together
    (only,) = rounds(halving(n, eta, k), iterations, interval)
    ends = [rung.iterations for rung in only.rungs]
    assert ends == sorted(set(ends))
    assert ends[-1] == iterations
    assert all(end % interval == 0 for end in ends[:-1])
    assert [rung.n_slots for rung in only.rungs] == [n // eta**j for j in range(k)]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"strategy": "evolution", "n_genomes": 6}, "evolution has rounds; give the number of genomes of each"),
        ({"n_genomes": [6, 6]}, "random has one round; give one number, such as 12"),
        ({"strategy": "halving", "n_genomes": 8}, "of 8 genomes none is left for rung 3 with eta 3"),
        ({"strategy": "halving", "n_genomes": 9, "halving": {"rungs": 5}}, "rungs would end after 200, 200, "),
        ({"strategy": "halving", "halving": {"brackets": 4}}, "brackets 4 is more than rungs 3"),
        ({"strategy": "evolution_and_halving", "n_genomes": [9, 9], "halving": {"brackets": 2}}, "brackets: not "),
        ({"strategy": "surrogate", "n_genomes": 9}, "surrogate has rounds; give the number of genomes of each"),
        (
            {"strategy": "surrogate", "n_genomes": [9, 20], "surrogate": {"candidates": 12}},
            "surrogate.candidates 12 is less than the 20 genomes of a round",
        ),
        (
            {"strategy": "halved"},
            "'random', 'halving', 'evolution', 'evolution_and_halving' or 'surrogate', not 'halved'",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_one_line(search, message):
    phantom = {"phantom": {"shape": [1, 64, 64], "seed": 1}}
    data = {"classes": ["a", "b"], "voxel_size_nm": [1, 1, 1], "train": [phantom], "validation": [phantom]}
    with pytest.raises(InputError) as error:
        check_config({"data": data, "search": search, "training": {"validation_interval": 200}})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_of_many_trainings_fit_on_a_line():
    assert expanded(["r0:3", "baselines/unet2015_2", "r1/007", "r2:1"]) == [
        *("r0/000", "r0/001", "r0/002", "baselines/unet2015_2", "r1/007", "r2/000"),
    ]
    assert expanded(["r0:20000"])[-1] == "r0/19999"


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def test_the_best_go_on_and_those_without_weights_never(tmp_path):
    paths = ResultPaths(tmp_path)
    aris = {"r0/000": 0.2, "r0/001": 0.9, "r0/002": None, "r0/003": 0.9, "r0/004": None}
    files = []
    for index, (name, ari) in enumerate(aris.items()):
        status = "diverged" if name == "r0/002" else "ok"
        files.append(tmp_path / f"slot{index}.json")
        write(
            files[-1], {"format": "genenet.slot/1", "run": name, "genome": "g", "status": status, "ari": ari}
        )
    rank(files, tmp_path / "rungs/r0/100.json")
    assert [run_of_slot(paths, 0, slot, 100) for slot in range(6)] == [
        *("r0/001", "r0/003", "r0/000", "r0/004"), None, None,
    ]  # fmt: skip
    assert run_of_slot(paths, 1, 7, None) == "r1/007"


def test_a_rungs_score_is_that_of_its_end_whatever_came_after(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("iteration,validation_ari\n10,0.3\n20,nan\n30,0.2\n40,0.8\n")
    best, last = Stopping(weights="best"), Stopping(weights="last")
    found = [scores_after(history, n, best).get("ari") for n in (5, 10, 20, 30, 40)]
    assert found == [None, 0.3, 0.3, 0.3, 0.8]
    assert [scores_after(history, n, last).get("ari") for n in (10, 20, 30, 40)] == [0.3, None, 0.2, 0.8]


def test_a_rung_is_ranked_by_the_metric_of_the_weights_that_were_kept(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("iteration,validation_ari,validation_mean_iou\n10,0.9,0.1\n20,0.5,0.6\n30,0.8,0.2\n")
    found = {m: scores_after(history, 30, Stopping(metric=m)) for m in ("ari", "mean_iou", "both")}
    assert found["ari"] == {"ari": 0.9, "mean_iou": 0.1}
    assert found["mean_iou"] == found["both"] == {"ari": 0.5, "mean_iou": 0.6}
    results = {"r0/000": (0.9, 0.1), "r0/001": (0.5, 0.6), "r0/002": (0.8, 0.15)}
    for metric, first in (("ari", "r0/000"), ("mean_iou", "r0/001"), ("both", "r0/001")):
        files = [tmp_path / f"{index}.json" for index in range(3)]
        for file, (name, (ari, iou)) in zip(files, results.items(), strict=True):
            result = TrainingResult(run=name, genome="g", status="ok", ari=ari, mean_iou=iou)
            write_file(file, SlotFile.holding(result, 30, metric))
        rank(files, tmp_path / "rung.json")
        assert read_file(tmp_path / "rung.json", RungFile).slots[0].run == first


def test_parents_are_compared_by_the_metric_of_the_ensemble(tmp_path):
    genomes = {f"r0/00{i}": Genome(f"r0_00{i}", {"net": {"n_convkernels": 4 + i}}) for i in range(2)}
    for name, genome in genomes.items():
        genome.write(tmp_path / f"{name}.json")
    results = [
        TrainingResult(run=name, genome="g", status="ok", ari=ari, mean_iou=iou)
        for name, ari, iou in (("r0/000", 0.9, 0.1), ("r0/001", 0.5, None))
    ]
    assert [score for _, score in scored([results], lambda name: f"{tmp_path}/{name}.json")] == [0.9, 0.5]
    both = scored([results], lambda name: f"{tmp_path}/{name}.json", "both")
    assert [(genome.name, score) for genome, score in both] == [("r0_000", 0.5)]


class Halved:
    """One genome, trained by ``genenet rung`` as a search would; ``whole`` is its command without rungs."""

    def __init__(self, folder, **training):
        self.paths = ResultPaths(folder / "results")
        self.whole = [*make(folder, **training), "--out", folder / "whole"]
        for split in ("train", "validation"):
            target = folder / f"results/data/{split}.zarr.zip"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / f"{split}.zarr.zip", target)
        read_genome(folder / "genome.json").write(self.paths.genome("r0/000"))
        self.settings = folder / "train.json"
        self.files = self.paths.run("r0/000")

    def rung(self, iterations, after=None):
        more = ["--after", after] if after else []
        return genenet(
            *("rung", "--results", self.paths.results, "--round", 0, "--iterations", iterations, "--slot", 0),
            *("--settings", self.settings, *more),
        )

    def validated(self):
        """The last iteration with a validation so far, by what is written to the end."""
        path = self.files.progress
        lines = path.read_text().split("\n")[1:-1] if path.exists() else []
        return int(lines[-1].split(",")[0]) if lines else 0

    def climb(self, *ends):
        for before, end in zip((None, *ends), ends, strict=False):
            done = run(self.rung(end, before))
            assert done.returncode == 0, done.stderr
            slot = self.paths.slot(0, end, "000")
            ranked = run(
                genenet(
                    "rank", "--results", self.paths.results, "--round", 0, "--iterations", end, "--slots", 1
                )
            )
            assert ranked.returncode == 0, ranked.stderr
        return json.loads(Path(slot).read_text())


@pytest.mark.process
def test_rungs_end_with_the_weights_of_a_training_in_one_go(tmp_path):
    search = Halved(tmp_path)
    search.climb(10, 20)
    assert json.loads(search.files.scores.read_text())["iterations"] == 20
    last = search.climb(10, 20, 40)
    assert run(search.whole).returncode == 0
    assert search.files.weights.read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    scores = [
        json.loads((place / "scores.json").read_text()) for place in (search.files.folder, tmp_path / "whole")
    ]
    for volatile in ("seconds", "prediction", "made_with"):
        assert [s.pop(volatile) for s in scores]
    assert scores[0] == scores[1]
    assert last["ari"] == scores[0]["validation"]["ari"]


@pytest.mark.process
def test_a_genome_that_has_the_budget_returns_at_once(tmp_path):
    search = Halved(tmp_path)
    search.climb(10, 40)
    weights = search.files.weights.stat().st_mtime_ns
    again = run(search.rung(10))
    assert again.returncode == 0
    assert "has 40 iterations already; 10 are asked for" in again.stderr
    assert search.files.weights.stat().st_mtime_ns == weights
    rows = [line.split(",") for line in search.files.history.read_text().splitlines()]
    at = {row[0]: float(row[3]) for row in rows[1:]}
    assert json.loads(Path(search.paths.slot(0, 10, "000")).read_text())["ari"] == at["10"]


@pytest.mark.process
def test_a_rung_on_the_wrong_machine_is_unfinished_after_five_and_trained_on_the_right_one(tmp_path):
    search = Halved(tmp_path, threads=available_cores() + 1)
    codes = [run(search.rung(10)).returncode for _ in range(5)]
    assert codes == [74, 74, 74, 74, 0]
    slot = Path(search.paths.slot(0, 10, "000"))
    assert json.loads(slot.read_text())["status"] == "unfinished"
    search.settings.write_text(search.settings.read_text().replace(f"{available_cores() + 1}", "1", 1))
    assert run(genenet("retry", search.paths.results)).returncode == 0
    assert not slot.exists()
    assert run(search.rung(10)).returncode == 0
    assert json.loads(slot.read_text())["status"] == "ok"


@pytest.mark.process
def test_killed_between_rungs_or_within_it_goes_on(tmp_path):
    search = Halved(tmp_path, iterations=400, validation_interval=20)
    search.climb(100)
    rung = search.rung(400, 100)
    process = run_until(rung, lambda: search.validated() >= 120)  # with fourteen more validations before it
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "results/rungs/r0/400").exists()
    again = run(rung)
    assert again.returncode == 0
    assert "continuing from iteration " in again.stderr
    start = int(again.stderr.split("continuing from iteration ")[1].split()[0])
    assert 100 <= start < 400


def run_until(command, condition):
    """Start a process; kill it as soon as the condition has come true."""
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    wait(process, condition)
    assert process.poll() is None
    process.kill()
    process.wait()
    return process


@pytest.mark.process
@pytest.mark.parametrize(("schedule", "goes_on"), [("exponential", True), ("cosine", False)])
def test_more_iterations_go_on_where_the_schedule_allows_it(tmp_path, schedule, goes_on):
    make(tmp_path, schedule={"kind": schedule})
    command = [*make(tmp_path, iterations=20, schedule={"kind": schedule}), "--out", tmp_path / "run"]
    assert run(command).returncode == 0
    make(tmp_path, iterations=40, schedule={"kind": schedule})
    longer = run(command)
    assert ("continuing from iteration 20" in longer.stderr) == goes_on
    assert ("belongs to other settings" in longer.stderr) != goes_on
    assert run([*command[:-1], tmp_path / "whole"]).returncode == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == (
        tmp_path / "whole/model.safetensors"
    ).read_bytes()
    make(tmp_path, iterations=10, schedule={"kind": schedule})
    shorter = run(command)
    assert shorter.returncode == 0
    assert json.loads((tmp_path / "run/scores.json").read_text())["iterations"] == 10


def candidates(n, seed=0):
    regions = settings().feasible_regions()
    rng = np.random.default_rng(seed)
    return [(draw(regions, 1, index), float(rng.random())) for index in range(n)]


def settings(**evolution):
    return BreedSettings(seed=3, regions={"net": NET}, evolution=Evolution(**evolution))


def test_children_are_the_same_alone_and_all_differ():
    scored = candidates(12)
    children = [breed(settings(), scored, 1, index) for index in range(8)]
    ids = {genome.id for genome, _ in scored}
    assert len({child.id for child in children} | ids) == 8 + 12
    assert breed(settings(), scored, 1, 5) == children[5]
    assert {child.round for child in children} == {1}
    assert {p for child in children for p in child.parents} <= ids
    assert {len(child.parents) for child in children} == {1, 2}
    assert breed(settings(), scored, 2, 5) != children[5]


def test_a_childs_file_says_its_round_and_parents(tmp_path):
    child = breed(settings(), candidates(5), 2, 0)
    child.write(tmp_path / "g.json")
    assert read_genome(tmp_path / "g.json") == child
    assert json.loads((tmp_path / "g.json").read_text())["round"] == 2


def test_parents_are_the_best_of_the_newest():
    scored = [
        (Genome(str(i), {"net": {"n_convkernels": i + 1}}), ari) for i, ari in enumerate((0.9, 0.1, 0.2, 0.3))
    ]
    rng = np.random.default_rng(0)
    found = {parent(scored, Evolution(population=3, tournament=2), rng).name for _ in range(200)}
    assert found == {"2", "3"}  # 0 has retired, and 1 is never the better of two
    assert {parent(scored, Evolution(population=9, tournament=9), rng).name for _ in range(9)} == {"0"}


def test_without_a_score_there_are_no_parents(tmp_path):
    with pytest.raises(InputError, match="round 1: no genome of an earlier round has a score"):
        breed(settings(), [], 1, 0)


def test_children_that_cant_differ_are_an_error():
    none = {"rates": dict.fromkeys(("net", "path", "stack", "layer", "edge"), 1e-12)}
    one = candidates(1)
    with pytest.raises(InputError, match="raise the rates of mutation"):
        breed(settings(mutation=none), one, 1, 0)


def began(folder, **search):
    """Files of a search whose rounds 0 and 1 are done, as far as additions look at them."""
    paths = ResultPaths(folder)
    for number, each in enumerate(rounds_of(**search)[:2]):
        for name in each.runs:
            write(paths.run(name).scores, {"genome": name, "status": "ok", "validation": {"ari": 0.5}})
            write(folder / f"genomes/{name}.json", {})
        gather(paths, each.runs, folder / f"rounds/r{number}.json")
        for rung in each.rungs:
            (folder / f"rungs/r{number}/{rung.iterations}").mkdir(parents=True)
    return paths


def rounds_of(**search):
    return rounds(Search(**search), 400, 50)


EVOLVED = {"strategy": "evolution", "n_genomes": [4, 4]}
BOTH = {"strategy": "evolution_and_halving", "n_genomes": [9, 9], "halving": {"rungs": 2}}
MODELLED = {"strategy": "surrogate", "n_genomes": [4, 4]}


@pytest.mark.process
@pytest.mark.parametrize(
    ("search", "change", "message"),
    [
        (EVOLVED, {"n_genomes": [4, 6]}, None),
        (EVOLVED, {"n_genomes": [4, 4, 4]}, None),
        (
            EVOLVED,
            {"n_genomes": [5, 4]},
            "n_genomes: round 0 had 4 genomes, not 5, when round 1 was bred from it",
        ),
        (
            EVOLVED,
            {"n_genomes": [4, 6, 4]},
            "n_genomes: round 1 had 4 genomes, not 6, when round 2 was bred from it",
        ),
        (MODELLED, {"n_genomes": [4, 6]}, None),
        (MODELLED, {"n_genomes": [4, 4, 4]}, None),
        (
            MODELLED,
            {"n_genomes": [5, 4]},
            "n_genomes: round 0 had 4 genomes, not 5, when round 1 was bred from it",
        ),
        (BOTH, {"n_genomes": [9, 12]}, None),
        (BOTH, {"halving": {"rungs": 3}}, "halving: round 0 had rungs of 150, 400 iterations"),
    ],
)
def test_what_would_redo_later_rounds_is_refused(tmp_path, search, change, message):
    paths = began(tmp_path, **search)
    if len(change.get("n_genomes", ())) == 3 and message:
        write(tmp_path / "genomes/r2/000.json", {})
    wanted = rounds_of(**{**search, **change})
    if message is None:
        check_additions(wanted, paths)
        return
    with pytest.raises(InputError) as error:
        check_additions(wanted, paths)
    assert str(error.value).startswith(f"search.{message}")
    assert "Add rounds at the end, or genomes to the last one" in str(error.value)


INHERITED = {**EVOLVED, "evolution": {"inherit_weights": {"iterations": 0.4}}}


@pytest.mark.parametrize(
    ("search", "rungs"), [(INHERITED, ()), ({**INHERITED, **BOTH, "n_genomes": [9, 6]}, (50, 150))]
)
def test_children_that_inherit_weights_are_trained_for_less(search, rungs):
    first, second = rounds_of(**search)
    assert (first.inherits, first.iterations) == (False, 400)
    assert (second.inherits, second.iterations) == (True, 150)  # 160 isn't a multiple of 50
    assert tuple(rung.iterations for rung in second.rungs) == rungs
    runs = ["r0/000", "r1/000", "r1/003/folds/1", "r1/009", "baselines/unet2015_2", "controls/best_long"]
    stages = [planned_runs.train_stage(run, [first, second]) for run in runs]
    assert stages == ["train", "train_inheriting", "train_inheriting", "train", "train_2", "train_long"]


@pytest.mark.parametrize(("before", "after"), [(EVOLVED, INHERITED), (INHERITED, EVOLVED)])
def test_inheritance_is_neither_switched_on_nor_off_once_children_are_trained(tmp_path, before, after):
    paths = began(tmp_path, **before)
    write(Path(paths.settings("train")), {})
    if before is INHERITED:
        write(Path(paths.settings("train_inheriting")), {})
    check_additions(rounds_of(**before), paths)
    with pytest.raises(
        InputError, match=r"search.evolution.inherit_weights: children have been trained with(out)? it,"
    ):
        check_additions(rounds_of(**after), paths)
    for name in rounds_of(**before)[1].runs:
        paths.run(name).scores.unlink()
    check_additions(rounds_of(**after), paths)


def test_inheritance_needs_evolution():
    with pytest.raises(ValidationError, match="inherit_weights: has no effect, since strategy is random"):
        Search(evolution={"inherit_weights": {}})


def test_children_that_inherit_weights_have_settings_of_their_own(tmp_path):
    schedule = {"kind": "cosine", "warm_up_iterations": 20}
    config, plain = (
        searching(tmp_path, {"strategy": "evolution", "n_genomes": [2, 2], **more}, schedule=schedule)
        for more in ({"evolution": {"inherit_weights": {"iterations": 0.5}}}, {})
    )
    own = stage_settings(config, "train_inheriting")
    assert own.inherits
    assert own.training.iterations == 50
    assert own.training.schedule.options.warm_up_iterations == 10
    for stage in ("train", "breed", "generate", "refit"):
        of_both = [stage_settings(each, stage).model_dump_json() for each in (config, plain)]
        assert of_both[0] == of_both[1]
        assert "inherit" not in of_both[0]


def test_gathered_rounds_hold_the_checksums_of_weights(tmp_path):
    paths = began(tmp_path, **EVOLVED)
    assert read_round(Path(paths.round(0)))[0].weights == ()
    for name, content in (("r0/000", b"a"), ("r0/001/folds/0", b"b"), ("r0/001/folds/1", b"c")):
        paths.run(name).folder.mkdir(parents=True, exist_ok=True)
        paths.run(name).weights.write_bytes(content)
    scores = {"genome": "g", "status": "ok", "validation": {"ari": 0.5}, "folds": 2}
    write(paths.run("r0/001").scores, scores)
    gather(paths, ["r0/000", "r0/001"], Path(paths.round(0)))
    of = [hashlib.sha256(content).hexdigest() for content in (b"a", b"b", b"c")]
    assert [each.weights for each in read_round(Path(paths.round(0)))] == [(of[0],), (of[1], of[2])]


@pytest.mark.process
def test_status_knows_how_long_children_that_inherit_weights_are_trained(tmp_path):
    inherited = {"evolution": {"inherit_weights": {"iterations": 0.5}}}
    config = searching(tmp_path, {"strategy": "evolution", "n_genomes": [2, 2], **inherited})
    paths = ResultPaths(tmp_path)
    for name, iterations in {"r0/000": 100, "r1/000": 50}.items():
        scores = {"status": "ok", "iterations": iterations, "seconds": iterations, "validation": {"ari": 0.5}}
        write(paths.run(name).scores, scores)
    found = read_status(config)
    assert {run.run: (run.phase, run.iterations) for run in found.runs} == {
        "r0/000": ("done", 100),
        "r0/001": ("waiting", 100),
        "r1/000": ("done", 50),
        "r1/001": ("waiting", 50),
    }
    assert found.left.seconds_in_all == 150
    assert found.may_end_earlier


def searching(folder, search, **more):
    """A config of a search of trainings of 100 iterations in a folder."""
    phantom = {"phantom": {"shape": [1, 64, 64], "seed": 1}}
    data = {"classes": ["a", "b"], "voxel_size_nm": [1, 1, 1], "train": [phantom], "validation": [phantom]}
    training = {"iterations": 100, "validation_interval": 50, **more}
    return check_config({"results": str(folder), "data": data, "search": search, "training": training})


@pytest.mark.process
def test_status_tells_who_is_to_go_on(tmp_path):
    """Two of four are to go on: one of them has, the other waits; which one of round 1 will isn't known."""
    search = {"strategy": "evolution_and_halving", "n_genomes": [4, 2], "halving": {"eta": 2, "rungs": 2}}
    config = searching(tmp_path, search)
    paths = ResultPaths(tmp_path)
    done = {"r0/000": 50, "r0/001": 100, "r0/002": 50, "r0/003": 50}
    for name, iterations in done.items():
        scores = {"status": "ok", "iterations": iterations, "seconds": iterations, "validation": {"ari": 0.5}}
        write(paths.run(name).scores, scores)
        write(paths.run(name).attempts, {"attempts": [{"exit": "finished", "ended": "2026-01-01T00:00:00Z"}]})
    best_first = ("r0/001", "r0/003", "r0/000", "r0/002")
    write(tmp_path / "rungs/r0/50.json", {"slots": [{"run": name, "status": "ok"} for name in best_first]})
    found = read_status(config)
    assert {run.run: (run.phase, run.iteration, run.iterations) for run in found.runs} == {
        "r0/000": ("done", 50, 50),
        "r0/001": ("done", 100, 100),
        "r0/002": ("done", 50, 50),
        "r0/003": ("waiting", 50, 100),
        "r1/000": ("waiting", 0, 50),
        "r1/001": ("waiting", 0, 50),
    }
    assert found.left.seconds_in_all == 50 + 2 * 50 + 50  # a second for each iteration
    assert found.may_end_earlier
