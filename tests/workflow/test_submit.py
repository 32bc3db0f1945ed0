"""The search without Snakemake on this machine; then Snakemake finds the trainings done."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import tifffile
import yaml
from safetensors.numpy import load_file

from tests.support.search import Search

pytestmark = pytest.mark.xdist_group("submit")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="/proc is needed to find processes"
)
RUNS = ["r0/000", "r0/001", "r0/002", "baselines/unet2015"]
AFTER = {"settings", "select", "phantom", "test", "segment", "export", "evaluate", "report", "all", "prepare"}


def command(*arguments):
    return [sys.executable, "-m", "genenet", "submit", "config.yaml", "--cluster", "local", *arguments]


def submit(search, *arguments, **options):
    done = subprocess.run(
        command(*arguments), cwd=search.folder, capture_output=True, text=True, check=False, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def new_search(folder, **changes):
    """A search whose config is one file, as submit wants it; JSON is YAML."""
    search = Search(folder)
    values = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())
    for section, keys in changes.items():
        values[section] = {**values[section], **keys}
    search.add("config.yaml", json.dumps(values))
    return search


def content(path):
    """What a file holds, but for a TIFF's own id, times in a zip, and the order of what is said of weights."""
    if path.suffix == ".safetensors":
        return {name: value.tobytes() for name, value in load_file(path).items()}
    if path.suffix == ".tif":
        return tifffile.imread(path).tobytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}
    return path.read_bytes()


def files(search, *folders):
    """The content of all files in these folders, by path."""
    found = [p for f in folders for p in (search.results / f).rglob("*") if p.is_file()]
    return {str(p.relative_to(search.results)): content(p) for p in found}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    search = new_search(tmp_path_factory.mktemp("submit"))
    search.done = submit(search)
    assert search.done.returncode == 0, search.done.stderr
    return search


def test_it_tells_how_each_training_ends(search):
    lines = search.done.stdout.splitlines()
    assert lines[0] == "4 trainings, 4 of them to do"
    assert sorted(line.split()[0] for line in lines[1:5]) == sorted(RUNS)
    assert all(" ok: ARI 0." in line for line in lines[1:5])
    assert lines[5] == "4 of 4 trainings ok"
    for run in RUNS:
        assert "20/20  ARI" in (search.results / f"logs/train/{run}.log").read_text()


def test_snakemake_finds_the_trainings_done(search):
    planned = search.planned()
    assert set(planned) <= AFTER
    assert planned["prepare"] == 1  # the test images
    assert planned["settings"] == 6  # select, prepare_test, test, segment, evaluate, report


def test_everything_is_as_the_workflow_makes_it(search, tmp_path):
    workflow = new_search(tmp_path)
    outputs = [f"results/runs/{run}/model.safetensors" for run in RUNS]
    workflow.snakemake(*outputs)
    names = ("settings", "phantoms", "data", "genomes")
    assert files(search, *names) == files(workflow, *names)
    for output in outputs:
        assert content(search.folder / output) == content(workflow.folder / output)


def test_a_second_time_there_is_nothing_to_do(search):
    done = submit(search)
    assert done.stdout.splitlines()[:2] == ["4 trainings, 0 of them to do", "4 of 4 trainings ok"]


def test_changed_settings_train_anew_and_snakemake_agrees(tmp_path):
    """Begun with Snakemake, gone on without it, and back."""
    search = new_search(tmp_path, search={"n_genomes": 1})
    search.snakemake(*(f"results/runs/{run}/scores.json" for run in (RUNS[0], RUNS[-1])))
    assert "2 trainings, 0 of them to do" in submit(search).stdout
    search = new_search(tmp_path, training={"iterations": 30}, search={"n_genomes": 2})
    output = submit(search).stdout
    assert (
        "settings of train have changed: what depends on them is made anew\n3 trainings, 3 of them" in output
    )
    assert "settings of generate" not in output
    planned = search.planned()
    assert set(planned) <= AFTER
    assert (planned["prepare"], planned["settings"]) == (1, 6)


def long_search(folder):
    return new_search(
        folder,
        search={"n_genomes": 1},
        baselines={"unet2015": None},
        training={"iterations": 1500, "validation_interval": 500, "checkpoint_seconds": 1},
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of the long training when nothing happens to it."""
    search = long_search(tmp_path_factory.mktemp("undisturbed"))
    assert submit(search).returncode == 0
    return weights(search)


def weights(search):
    return content(search.results / "runs/r0/000/model.safetensors")


def attempts(search):
    return json.loads((search.results / "runs/r0/000/attempts.json").read_text())["attempts"]


def until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def trainer(search, beyond=None):
    """Wait until a process trains that isn't ``beyond`` and has a checkpoint; return its id."""
    folder = search.results / "runs/r0/000"

    def find():
        try:
            pid = json.loads((folder / "lock").read_text())["pid"]
        except (OSError, json.JSONDecodeError):
            return None
        return pid if pid != beyond and (folder / "checkpoint.pt").exists() else None

    return until(find)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@needs_proc
def test_signals_of_a_scheduler_cost_seconds_and_no_weights(tmp_path, undisturbed):
    """Once to the job, once to the training itself and then to the job, as Slurm does it."""
    search = long_search(tmp_path)
    with subprocess.Popen(command(), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        first = trainer(search)
        os.kill(parent(first), signal.SIGUSR2)
        second = trainer(search, first)
        task = parent(second)
        os.kill(second, signal.SIGUSR2)
        until(lambda: not (search.results / "runs/r0/000/lock").exists())
        os.kill(task, signal.SIGUSR2)
        output = process.communicate(timeout=600)[0]
    assert process.returncode == 0
    assert "1 of 1 trainings ok" in output
    assert [a["exit"] for a in attempts(search)] == ["stopped", "stopped", "finished"]
    began = [a["began_at_iteration"] for a in attempts(search)]
    assert began[0] == 0 < began[1] < began[2]
    assert weights(search) == undisturbed


@needs_proc
def test_ctrl_c_stops_everything_in_order(tmp_path, undisturbed):
    search = long_search(tmp_path)
    process = subprocess.Popen(
        command(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # also if we ignore it
    )
    pid = trainer(search)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert output.endswith("stopping; the same command continues from the last checkpoints\n")
    assert "Traceback" not in errors
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert [a["exit"] for a in attempts(search)] == ["stopped"]
    assert submit(search).returncode == 0
    assert attempts(search)[1]["began_at_iteration"] > 0
    assert weights(search) == undisturbed


def test_what_always_crashes_is_given_up_and_said(tmp_path):
    search = new_search(tmp_path, search={"n_genomes": 2}, baselines={"unet2015": None})
    (tmp_path / "results/runs/r0/001/progress.csv").mkdir(parents=True)  # in its way whenever it starts
    done = submit(search, "--pause-seconds", "0")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "1 of 2 trainings ok" in lines
    (why,) = [line for line in lines if line.startswith("  r0/001: unfinished: given up after 5 attempts")]
    assert why.endswith("see results/logs/train/r0/001.log")
    scores = json.loads((tmp_path / "results/runs/r0/001/scores.json").read_text())
    assert scores["status"] == "unfinished"
    assert "1 given up; once the cause is removed: genenet retry results, then start again" in lines
    assert set(search.planned()) <= AFTER
    assert submit(search).returncode == 1  # it stays so until its folder is deleted


def test_a_mistake_is_one_line_and_nothing_is_trained(tmp_path):
    search = new_search(tmp_path)
    search.add("config.yaml", "data: {}")
    done = submit(search)
    assert done.returncode == 1
    assert done.stderr.startswith("genenet: error: config.yaml: data.classes: is missing")
    search = new_search(tmp_path)
    done = submit(search, "--container", "nowhere.sif")
    assert done.returncode == 1
    assert "container: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results/runs").exists()


def test_neither_files_named_like_modules_nor_a_read_only_home_matter(tmp_path):
    """Of the folder that it starts in, nothing is imported; caches go to the project's folder."""
    search = new_search(tmp_path, search={"n_genomes": 1}, baselines={"unet2015": None})
    for name in ("random.py", "select.py", "numpy.py", "snakemake.py", "genenet.py"):
        search.folder.joinpath(name).write_text("raise SystemExit('a file of the user was imported')")
    program = Path(sys.executable).parent / "genenet"  # as a shell finds it
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    done = subprocess.run(
        [program, "submit", "--cluster", "local"],
        cwd=tmp_path,
        env={**environment, "HOME": "/proc/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 trainings ok" in done.stdout
    assert (tmp_path / ".snakemake/cache/snakemake").is_dir()


def test_a_lock_that_a_killed_snakemake_left(tmp_path):
    search = new_search(tmp_path, search={"n_genomes": 1}, baselines={"unet2015": None})
    snakefile = Path(__file__).parents[2] / "workflow/Snakefile"
    options = ("--cores", "1", "--configfile", "config.yaml")
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, *options]
    process = subprocess.Popen(snakemake, cwd=tmp_path, stderr=subprocess.DEVNULL)
    until(lambda: list(tmp_path.glob(".snakemake/locks/*")) and (search.results / "settings").exists())
    process.kill()
    process.wait()
    done = submit(search)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "genenet: error: another Snakemake works in this folder; wait for it (after a"
    )
    subprocess.run([*snakemake, "--unlock"], cwd=tmp_path, capture_output=True, check=True)
    assert submit(search).returncode == 0
