"""What a user meets on the command line: one clear line for what is wrong, no traceback, nothing half-written."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from genenet.cli.commands import PANELS
from genenet.cli.console import take_common_options
from genenet.cli.main import app
from tests.support import runs
from tests.support.configs import ROOT
from tests.support.runs import fails

COMMANDS = (
    "phantom settings check schema prepare generate inspect draw mutate cross diff train select segment export "
    "view evaluate report summary status submit doctor init rung rank gather postprocess adapt suggest "
    "corrections"
)


@pytest.mark.process
def test_help_names_every_command():
    text = runs.run(runs.genenet("--help")).stdout
    assert all(name in text for name in COMMANDS.split())
    for name in COMMANDS.split():
        assert runs.run(runs.genenet(name, "--help")).returncode == 0


@pytest.mark.process
def test_help_groups_commands_by_what_people_do():
    text = runs.run(runs.genenet("--help")).stdout
    panels = ["First steps", "Search", "Segment", "Look", "By hand"]
    places = [text.index(f"─ {panel}") for panel in panels]
    assert places == sorted(places)
    for command, panel in {"init": 0, "submit": 1, "segment": 2, "view": 3, "train": 4}.items():
        assert places[panel] < text.index(f"│ {command} ") < [*places[1:], len(text)][panel]


def test_every_command_stands_in_a_panel():
    assert {command.rich_help_panel for command in app.registered_commands} == set(PANELS)


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_on(monkeypatch, shell):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "_GENENET_COMPLETE" in runs.run(runs.genenet("--show-completion", shell)).stdout


@pytest.mark.process
def test_completion_imports_no_torch(monkeypatch):
    for name, value in {
        "_GENENET_COMPLETE": "complete_bash",
        "COMP_WORDS": "genenet segm",
        "COMP_CWORD": "1",
    }.items():
        monkeypatch.setenv(name, value)
    done = runs.run_without("torch")
    assert done.stdout.splitlines()[:-1] == ["segment"]


@pytest.mark.process
@pytest.mark.parametrize("options", [["--log", "logs/a.log"], ["--log=logs/a.log"]])
def test_log_adds_messages_to_a_file(tmp_path, options):
    command = runs.genenet("check", "nowhere.yaml", *options)
    for _ in range(2):
        fails(command, "nowhere.yaml: no such file", cwd=tmp_path)
    lines = (tmp_path / "logs/a.log").read_text().splitlines()
    assert len(lines) == 4
    for header, message in (lines[:2], lines[2:]):
        assert header.startswith("--- ")
        assert header.endswith(": genenet check nowhere.yaml")
        assert message == "genenet: error: nowhere.yaml: no such file"


@pytest.mark.process
def test_log_needs_a_file():
    for options in (["--log"], ["--log="]):
        fails(runs.genenet("check", *options), "--log: name a file")


def test_behind_two_hyphens_everything_is_a_name():
    words = ["--debug", "view", "--", "--log", "x", "--debug"]
    assert take_common_options(words) == (True, None, ["view", "--", "--log", "x", "--debug"])


@pytest.mark.process
@pytest.mark.parametrize("results", ["~/x", "$HOME/x"])
def test_check_says_that_a_home_is_not_expanded(tmp_path, results):
    text = (ROOT / "config.yaml").read_text().replace("results: results", f"results: {results}", 1)
    assert results in text
    (tmp_path / "config.yaml").write_text(text)
    lines = runs.run(runs.genenet("check", tmp_path / "config.yaml")).stdout.splitlines()
    assert f"results: {results} is a folder of that name below this one; ~ and $ aren't expanded" in lines
    assert lines[-1].endswith("config.yaml: fine")


@pytest.mark.process
def test_usage_errors_are_logged_too(tmp_path):
    done = runs.run(runs.genenet("train", "--log", tmp_path / "a.log", "--hepl"))
    assert done.returncode == 2
    assert "No such option: --hepl" in (tmp_path / "a.log").read_text()


@pytest.mark.process
def test_version():
    assert runs.run(runs.genenet("--version")).stdout == "0.1.0\n"


def write_settings(folder, **changes):
    image, labels = runs.blobs((2, 40, 40), 0)
    for name, data in (("image.tif", image), ("labels.tif", labels)):
        if not (folder / name).exists():
            tifffile.imwrite(folder / name, data)
    files = {"image": [str(folder / "image.tif")], "labels": [str(folder / "labels.tif")], "region": None}
    values = {
        "classes": ["a", "b"],
        "ignore_label": None,
        "voxel_size_nm": [1, 1, 1],
        "smallest_input_voxels": None,
    }
    settings = {"images": [{**files, **changes.pop("files", {})}], **values, **changes}
    (folder / "settings.json").write_text(json.dumps(settings))
    return runs.genenet(
        "prepare", "--settings", folder / "settings.json", "--out", folder / "out" / "data.zip"
    )


NAN = np.full((2, 40, 40), np.nan, np.float32)


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "data", "changes", "said"),
    [
        ("labels.tif", np.zeros((2, 40, 41), np.uint8), {}, ["labels.tif", "2 x 40 x 41", "2 x 40 x 40"]),
        ("labels.tif", np.full((2, 40, 40), 9, np.uint8), {}, ["labels.tif", "9", "2 classes"]),
        ("labels.tif", np.zeros((2, 40, 40), np.float32), {}, ["labels.tif", "float32", "integer"]),
        ("image.tif", np.zeros((40, 40, 3), np.uint8), {}, ["image.tif", "RGB"]),
        ("image.tif", NAN, {}, ["image.tif", "NaN"]),
        ("image.tif", np.full((2, 40, 40), 7, np.uint8), {}, ["image.tif", "all voxels are 7", "contrast"]),
        ("x", None, {"files": {"image": ["nowhere.tif"]}}, ["nowhere.tif", "no such file"]),
        ("x", None, {"files": {"region": [None, [0, 50], None]}}, ["image.tif", "region", "y", "50"]),
        ("x", None, {"smallest_input_voxels": 48}, ["40 x 40", "48", "search.regions.net.input_size"]),
    ],
)
def test_bad_images(tmp_path, name, data, changes, said):
    if data is not None:
        photometric = "rgb" if data.shape[-1] == 3 else "minisblack"
        tifffile.imwrite(tmp_path / name, data, photometric=photometric)
    fails(write_settings(tmp_path, **changes), *said)
    assert not list((tmp_path / "out").glob("*") if (tmp_path / "out").exists() else [])


@pytest.mark.process
def test_a_truncated_tiff(tmp_path):
    command = write_settings(tmp_path)
    data = (tmp_path / "image.tif").read_bytes()
    (tmp_path / "image.tif").write_bytes(data[: len(data) // 2])
    fails(command, "image.tif", "truncated")


@pytest.mark.process
def test_debug_shows_the_traceback(tmp_path):
    done = runs.run([*write_settings(tmp_path, files={"image": ["nowhere.tif"]}), "--debug"])
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is needed to mount a small file system")
def test_no_space_left_on_the_device(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (4, 300, 300), np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", image % 2, photometric="minisblack")
    command = write_settings(tmp_path)
    (tmp_path / "out").mkdir()
    mount = f"mount -t tmpfs -o size=64k none {tmp_path / 'out'}"
    listing = f"ls -A {tmp_path / 'out'}"
    larger = f"mount -o remount,size=64m {tmp_path / 'out'} && {' '.join(command)} 2>&1 || exit 98"
    script = f"{mount} || exit 99; {' '.join(command)}; status=$?; {listing} >&2; {larger}; {listing}; exit $status"
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    done = runs.run([*unshare, "sh", "-c", script])
    if done.returncode == 99:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr  # so nothing is left in the folder either
    assert done.stderr.startswith("genenet: error: no space left on the device")
    assert done.stdout.splitlines()[-1] == "data.zip"  # once there is space


def write_genome(folder, **changes):
    value = {
        "format": "genenet.genome/2",
        "name": "x",
        "seed": None,
        "parents": [],
        "deltas": {"net": {}},
        **changes,
    }
    (folder / "g.json").write_text(json.dumps(value))
    return runs.genenet("inspect", folder / "g.json", "--classes", "7", "--json")


@pytest.mark.process
def test_inspect_prints_json(tmp_path):
    deltas = {"net": {"n_convkernels": 110, "n_stacks": 1, "n_convlayers": 1, "input_size": 48}}
    said = json.loads(runs.run(write_genome(tmp_path, deltas=deltas)).stdout)
    assert said["n_parameters"] == 534_717
    assert {
        "id",
        "input_shape",
        "output_shape",
        "halo",
        "receptive_field",
        "n_convlayers",
        "flops_per_voxel",
    } <= set(said)


@pytest.mark.process
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "genenet.genome/3"}, ["g.json", "genenet.genome/3", "genenet.genome/2"]),
        (
            {"deltas": {"net": {"n_kernels": 1}}},
            ["g.json: net: n_kernels: unknown hyperparameter", "n_convkernels"],
        ),
        (
            {"deltas": {"net/encoder": {"n_convkernels": 1}}},
            ["g.json: net/encoder: no such gene", "net/encode"],
        ),
        (
            {"deltas": {"net": {"n_convkernels": 9999}}},
            ["g.json: net: n_convkernels is 9999; allowed: 1 to 1024"],
        ),
        ({"deltas": {"net": {"n_stacks": 4, "input_size": 64}}}, ["g.json: net: input_size 64 is too small"]),
    ],
)
def test_bad_genomes(tmp_path, changes, said):
    fails(write_genome(tmp_path, **changes), *said)


@pytest.mark.process
def test_weights_of_another_genome(tmp_path):
    from tests.support.ensembles import write_ensemble

    folder = write_ensemble(tmp_path / "ensemble", n_stacks=(1, 2))
    shutil.copy(folder / "members/00/model.safetensors", folder / "members/01/model.safetensors")
    tifffile.imwrite(tmp_path / "i.tif", runs.blobs((1, 40, 40), 0)[0])
    fails(
        runs.genenet("segment", "--ensemble", folder, tmp_path / "i.tif", "--out", tmp_path / "o.ome.zarr"),
        "members/01/model.safetensors: these are weights of genome",
    )
    assert not (tmp_path / "o.ome.zarr").exists()


@pytest.mark.process
def test_other_mistakes(tmp_path):
    fails(
        runs.genenet("segment", "--ensemble", tmp_path, "--out", tmp_path / "o"),
        "give either an image or --settings",
    )
    fails(
        runs.genenet("phantom", "--shape", "3x4", "--image", "a", "--labels", "b"),
        "--shape 3x4: give voxels along z, y and x, such as 16x640x640",
    )
    fails(runs.genenet("summary", tmp_path), "no ranking yet; run snakemake --profile profiles/local first")
    fails(runs.genenet("check", tmp_path / "no.yaml"), "no.yaml: no such file")
    done = runs.run(runs.genenet("trian"))
    assert done.returncode == 2
    assert "No such command" in done.stderr
