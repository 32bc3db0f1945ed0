"""Many trainings in one job: which run side by side, which are tried again, and how the job ends."""

import json
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from genenet.cluster import launch, pack, pack_members, pack_room
from genenet.cluster.pack import Pack, exit_code, write_receipt
from genenet.cluster.pack_members import PackMember
from genenet.cluster.pack_room import CpuRoom, GpuRoom, room_of_job
from genenet.config.model import check_config
from genenet.config.planned_packs import ends_of_trainings, packs_text, span_of, spans
from genenet.config.planned_runs import search_rounds
from genenet.core.paths import ResultPaths
from genenet.genes.genome import Genome
from genenet.genes.memory import TORCH_BYTES, prediction_bytes, training_bytes
from genenet.genes.plan import plan
from genenet.networks.tile_sizes import SLAB_BYTES
from genenet.search.pack_receipts import receipts_of, remove_receipts_without_results
from genenet.training.stopping import Stop
from tests.support import runs

RESULTS = ResultPaths(Path("results"))
TINY = Path(__file__).parents[2] / "workflow/tiny.yaml"
GB = 1e9


def config(per_job, **search):
    values = yaml.safe_load(TINY.read_text())
    values["training"]["per_job"], values["search"] = per_job, values["search"] | search
    return check_config(values)


def member(folder, name, script, own_bytes=0.0):
    """A member that runs a line of Python in the folder; ``here`` is a file of its own, ``done`` its output."""
    here, done = folder / f"{name}.here", folder / f"{name}.done"
    start = f"import pathlib, sys, time; here, done = (pathlib.Path(p) for p in {[str(here), str(done)]!r}); "
    return PackMember(name, (sys.executable, "-c", start + script), (), (str(done),), own_bytes)


def run(*members, room=None, stop=None):
    packed = Pack(members, room or CpuRoom(2), stop or Stop())
    return packed.run(), packed


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pack, "POLL_SECONDS", 0.01)


def test_spans_are_of_consecutive_numbers():
    assert spans(10, 4) == ["000-003", "004-007", "008-009"]
    assert spans(3, 8) == ["000-002"]
    assert span_of(9, 10, 4) == "008-009"


def test_later_stages_wait_for_receipts_of_packs_and_without_packs_for_the_results():
    packed, alone = config(2), config(1)
    (round_,) = search_rounds(packed)
    assert ends_of_trainings(packed, round_, RESULTS) == [
        "results/packs/r0/000-001.json",
        "results/packs/r0/002-002.json",
    ]
    assert ends_of_trainings(alone, round_, RESULTS) == [
        path for run in round_.runs for path in RESULTS.run(run).outputs()
    ]
    assert packs_text(packed) == "jobs: 2 for 3 trainings of genomes, 2 in each (training.per_job)"
    assert packs_text(alone) == ""


def test_the_number_in_a_job_is_no_setting_of_a_training():
    from genenet.config.stages import settings_json

    for stage in ("train", "refit"):
        assert settings_json(config(1), stage) == settings_json(config(7), stage)


@pytest.mark.process
def test_members_that_have_ended_are_not_started(tmp_path):
    first, second = (member(tmp_path, name, "here.touch(); done.touch()") for name in "ab")
    Path(first.outputs[0]).touch()
    code, _ = run(first, second)
    assert code == 0
    assert [(tmp_path / f"{name}.here").exists() for name in "ab"] == [False, True]
    write_receipt(tmp_path / "receipt.json", [first, second])
    assert json.loads((tmp_path / "receipt.json").read_text())["trainings"] == ["a", "b"]


WAITS = "here.touch(); other = here.with_name({other!r}); " + (
    "any(other.exists() or time.sleep(0.01) for _ in range(3000)) and done.touch()"
)


@pytest.mark.process
def test_as_many_run_side_by_side_as_there_is_room_for(tmp_path):
    """Each of two waits for the other; the third starts when one has ended."""
    first, second = (
        member(tmp_path, a, WAITS.format(other=f"{b}.here")) for a, b in (("a", "b"), ("b", "a"))
    )
    third = member(
        tmp_path,
        "c",
        "ended = [done.with_name(f'{x}.done').exists() for x in 'ab']; any(ended) and done.touch()",
    )
    code, _ = run(first, second, third)
    assert code == 0
    assert third.is_done()


@pytest.mark.process
@pytest.mark.parametrize("ending", ["sys.exit(74)", "sys.exit(1)", "import os; os.kill(os.getpid(), 9)"])
def test_a_member_that_fails_beside_others_is_tried_again_alone(tmp_path, ending):
    fails = member(
        tmp_path,
        "a",
        f"n = len(here.read_text()) if here.exists() else 0; here.write_text('x' * (n + 1))\nif n: done.touch()\n"
        f"else:\n    {ending}",
    )
    other = member(tmp_path, "b", WAITS.format(other="a.here"))
    code, packed = run(other, fails)
    assert code == 0
    assert (tmp_path / "a.here").read_text() == "xx"
    assert fails.is_done()
    assert not packed.set_aside


@pytest.mark.process
def test_a_failed_member_fails_alone_and_the_exit_code_says_how(tmp_path):
    fails = member(tmp_path, "a", "here.open('a').write('x'); sys.exit(2)")
    others = [member(tmp_path, name, "done.touch()") for name in "bc"]
    code, _ = run(fails, *others)
    assert code == 2
    assert (tmp_path / "a.here").read_text() == "x"  # the user's error: another attempt would fail alike
    assert all(other.is_done() for other in others)


@pytest.mark.process
def test_when_time_is_over_members_stop_and_others_are_not_started(tmp_path):
    script = "import signal; signal.signal(15, lambda *_: sys.exit(75)); here.touch(); time.sleep(60)"
    members = [member(tmp_path, name, script) for name in "abc"]

    class WhenBothRun(Stop):
        def __call__(self):
            both = all((tmp_path / f"{name}.here").exists() for name in "ab")
            return "time is over" if both else None

    began = time.monotonic()
    code, packed = run(*members, stop=WhenBothRun())
    assert code == 75
    assert time.monotonic() - began < 30
    assert not packed.running
    assert not (tmp_path / "c.here").exists()


def test_exit_codes():
    assert exit_code([]) == 0
    assert exit_code([2, 74, 75]) == exit_code([-signal.SIGTERM]) == 75
    assert exit_code([2, 130]) == exit_code([-signal.SIGINT, 75]) == 130
    assert exit_code([1, 74]) == exit_code([1, -signal.SIGKILL]) == 74
    assert exit_code([1, 2]) == 2
    assert exit_code([1]) == 1


@pytest.mark.parametrize(
    ("steps", "seen", "free", "expected"),
    [
        ([], 0.0, 0.0, True),  # one runs in any case
        ([1 * GB], 0.0, 8 * GB, True),
        ([1 * GB, 1 * GB], 0.0, 8 * GB, False),  # no core is left
        ([6 * GB], 0.0, 8 * GB, False),
        ([1 * GB], 7 * GB, 8 * GB, False),  # it takes more than was estimated
        ([1 * GB], 1 * GB, 1 * GB, False),  # another program has taken the memory
    ],
)
def test_trainings_fit_cores_and_memory(monkeypatch, steps, seen, free, expected):
    monkeypatch.setattr(pack_room, "total_memory", lambda: 8 * GB)
    monkeypatch.setattr(pack_room, "available_memory", lambda: free)
    monkeypatch.setattr(pack_room, "peak_memory_of", lambda process: seen + TORCH_BYTES)
    assert CpuRoom(2).fits(dict(enumerate(steps)), 2 * GB) == expected


def nvidia_smi(monkeypatch, *answers):
    """Let the driver answer with so many free MiB, one after another."""
    left = [SimpleNamespace(ok=bool(text), text=text) for text in answers]
    monkeypatch.setattr(pack_room, "ask", lambda *_: left.pop(0))


def test_on_a_gpu_its_free_memory_decides(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvidia_smi(monkeypatch, "16000\n", "12000\n", "500\n")
    room = room_of_job("auto", None, 1)
    assert isinstance(room, GpuRoom)
    assert room.fits({1: 2 * GB, 2: 2 * GB, 3: 2 * GB}, 2 * GB)
    assert not room.fits({1: 2 * GB}, 2 * GB)  # another program uses it now
    assert not GpuRoom(8 * GB).fits({1: 2 * GB, 2: 2 * GB}, 2 * GB)  # by the estimates


def test_without_a_gpu_cores_decide(monkeypatch):
    nvidia_smi(monkeypatch, "", "")
    monkeypatch.setattr(pack_room, "cores_of_job", lambda: 4)
    monkeypatch.setattr(pack_room, "gpu_granted", lambda: False)
    assert room_of_job("auto", None, 2) == CpuRoom(2)
    assert room_of_job("cpu", 2, 1) == CpuRoom(2)
    assert room_of_job("cpu", 64, 8) == CpuRoom(1)
    assert room_of_job("cuda", None, 1) == CpuRoom(1)  # the driver is silent


def test_unreadable_inputs_are_left_to_the_members(tmp_path):
    """Each of them counts a failed attempt; a pack that fails before it starts them would be retried without end."""
    paths = ResultPaths(tmp_path)
    members = pack_members.trainings(paths, 0, "002-003", CpuRoom(1))
    assert [(each.name, each.own_bytes) for each in members] == [("r0/002", 0), ("r0/003", 0)]
    assert members[1].command[3:6] == ("train", "--genome", paths.genome("r0/003"))
    assert pack_room.room_by_settings(Path(paths.settings("train")), None) == CpuRoom(1)


def test_the_memory_of_a_training_is_that_of_its_steps_its_validation_and_its_images(tmp_path):
    paths = ResultPaths(tmp_path)
    runs.make(tmp_path, threads=2)
    for made, wanted in (
        ("train.json", paths.settings("train")),
        ("genome.json", paths.genome("r0/000")),
        *((f"{split}.zarr.zip", paths.data(split)) for split in ("train", "validation")),
    ):
        Path(wanted).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).rename(wanted)
    built = plan(Genome("tiny", {"net": runs.GENOME}).net, len(runs.CLASSES))
    of_images = 2 * (2 * 64 * 64 + 48 * 56)  # and their labels
    found = {}
    for room in (CpuRoom(2), GpuRoom(80 * GB)):
        (found[room],) = pack_members.trainings(paths, 0, "000-000", room)
        of_validation = room.validation_bytes(built, [(1, 48, 56)], 2)
        assert of_validation > prediction_bytes(built, built.read_shape((1, 48, 56)), 4)
        assert found[room].own_bytes == training_bytes(built, 2, 4) + of_validation + of_images
    assert len({each.own_bytes for each in found.values()}) == 2  # a tile in each of the two threads


def test_on_a_gpu_a_validation_takes_a_share_of_its_memory_at_most():
    wide = plan(Genome("wide", {"net": {**runs.GENOME, "n_convkernels": 64}}).net, 7)
    slices = [(4, 500, 500), (100, 4000, 4000)]
    assert 5 * GB < GpuRoom(80 * GB).validation_bytes(wide, slices, 1) < 10 * GB + SLAB_BYTES
    assert GpuRoom(80 * GB).validation_bytes(wide, slices[:1], 1) < 2 * GB
    assert GpuRoom(80 * GB).validation_bytes(wide, [], 1) == 0


def test_children_that_inherit_weights_have_their_own_settings_in_packs(tmp_path):
    paths = ResultPaths(tmp_path)
    settings = Path(paths.settings("train_inheriting"))
    (member,) = pack_members.trainings(paths, 1, "000-000", CpuRoom(1), settings=settings)
    (slot,) = pack_members.slots(paths, 1, "000-000", CpuRoom(1), 50, None, settings)
    for each in (member, slot):
        assert f"--settings {settings}" in " ".join(each.command)
        assert f"--results {tmp_path}" in " ".join(each.command)
        assert str(settings) in each.inputs
        assert paths.settings("train") not in each.inputs


def test_submit_packs_the_genomes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    first, second, baseline = launch.planned_jobs(config(2), RESULTS, ["genenet"])
    assert " ".join(first.command) == (
        "genenet train-pack --results results --round 0 --span 000-001 --receipt results/packs/r0/000-001.json"
        " --cores 2 --log results/logs/packs/r0/000-001.log"
    )
    assert (first.runs, second.runs, baseline.runs) == (
        ["r0/000", "r0/001"],
        ["r0/002"],
        ["baselines/unet2015"],
    )
    assert first.outputs == [path for run in first.runs for path in RESULTS.run(run).outputs()]
    jobs = [first, second, baseline]
    assert launch.counted(jobs, jobs) == "4 trainings, 4 of them to do in 3 jobs"
    for path in RESULTS.run("r0/001").outputs():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    first.members[1].inputs.clear()
    assert launch.counted(jobs, jobs) == "4 trainings, 3 of them to do in 3 jobs"


def test_receipts_go_when_results_go(tmp_path):
    paths = ResultPaths(tmp_path)
    names = [paths.pack(0, "000-001"), paths.pack(0, "000-000"), paths.pack(0, "001-001", 1)]
    receipts = [Path(name) for name in (*names, paths.rung_pack(0, 20, "000-000"))]
    for path in receipts:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert receipts_of(paths, 0, 1) == [receipts[0], receipts[3]]
    assert receipts_of(paths, 0, 1, 1) == [receipts[2], receipts[3]]
    assert receipts_of(paths, 1, 0) == []
    for path in (*paths.run("r0/000").outputs(), paths.slot(0, 20, "000")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    remove_receipts_without_results(paths)
    assert [path.exists() for path in receipts] == [False, True, False, True]
