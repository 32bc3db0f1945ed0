"""What ``genenet doctor`` says of machines that aren't here: programs and torch are played."""

import json
import os
import sys
from types import SimpleNamespace

import pytest

from genenet.cluster import diagnosis, doctor, gpu_check
from genenet.cluster.diagnosis import Finding, ask, print_findings, probe
from genenet.cluster.doctor import describe_partitions, examine
from genenet.cluster.gpu_check import covered, look_at_gpu
from genenet.core.resources import gpu_granted, gpus_hidden
from tests.support import runs

VARIABLES = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No GPU, no Slurm, no container, an empty folder."""
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in VARIABLES:
            monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(gpu_check.glob, "glob", lambda pattern: [])
    monkeypatch.chdir(tmp_path)


def program(tmp_path, name, script):
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def fake_torch(monkeypatch, seen=False, cuda="12.8", capability=(8, 0), built=("sm_80",)):
    def init():
        raise RuntimeError("Found no NVIDIA driver on your system. Please check that you have one.")

    version = SimpleNamespace(cuda=cuda, hip=None)
    device = SimpleNamespace(
        is_available=lambda: seen,
        init=init,
        device_count=lambda: 2,
        get_device_name=lambda i: "Tesla Fake",
        get_device_properties=lambda i: SimpleNamespace(total_memory=16e9),
        get_device_capability=lambda i: capability,
        get_arch_list=lambda: list(built),
    )
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(__version__="2.0+fake", version=version, cuda=device)
    )


def about(topic, found):
    (one,) = [finding for finding in found if finding.topic == topic]
    return one


def job(monkeypatch, **variables):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "granted"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "1"}, False),
        ({"CUDA_VISIBLE_DEVICES": "0"}, False),  # not in a job
        ({"SLURM_JOB_ID": "1", "SLURM_JOB_GPUS": "0"}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_GPUS": "3"}, True),
        ({"SLURM_JOB_ID": "1", "GPU_DEVICE_ORDINAL": "0,1"}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_ARRAY_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0"}, True),
        ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "MIG-1234"}, True),
        (
            {"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "NoDevFiles", "GPU_DEVICE_ORDINAL": "NoDevFiles"},
            False,
        ),
        ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": ""}, False),
        ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "-1"}, False),
    ],
)
def test_gpu_granted(monkeypatch, variables, granted):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert gpu_granted() == granted
    assert gpus_hidden() == (variables.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles"))


def test_auto_fails_where_slurm_granted_a_gpu_that_torch_does_not_see(monkeypatch):
    import torch

    from genenet.core.errors import MachineError
    from genenet.networks.device import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    job(monkeypatch, CUDA_VISIBLE_DEVICES="0")
    with pytest.raises(MachineError, match=r"--nv.*driver.*genenet doctor.*training\.device: cpu"):
        choose_device("auto")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("capability", "built", "runs_on_it"),
    [
        ((8, 0), ["sm_80"], True),
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80", "sm_86"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((7, 0), ["sm_75", "sm_80", "compute_120"], False),
        ((12, 1), ["sm_90", "sm_120"], True),
        ((10, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100a"], False),
        ((10, 3), ["sm_100f"], True),
        ((3, 7), [], False),
    ],
)
def test_covered(capability, built, runs_on_it):
    assert covered(capability, built) == runs_on_it


def test_no_gpu_is_no_problem(monkeypatch):
    fake_torch(monkeypatch)
    assert about("GPU", look_at_gpu()).status == "note"


@pytest.mark.parametrize(
    ("cuda", "hint"), [("12.8", ["--nv", "driver", "training.device: cpu"]), (None, ["cu126"])]
)
def test_a_granted_gpu_that_torch_does_not_see(monkeypatch, cuda, hint):
    fake_torch(monkeypatch, cuda=cuda)
    job(monkeypatch, CUDA_VISIBLE_DEVICES="0")
    gpu = about("GPU", look_at_gpu())
    assert gpu.status == "problem"
    assert "(Found no NVIDIA driver on your system)" in gpu.text
    assert all(word in gpu.hint for word in hint)


def test_a_gpu_that_is_there_and_torch_does_not_see(monkeypatch, tmp_path):
    fake_torch(monkeypatch)
    monkeypatch.setattr(gpu_check.glob, "glob", lambda pattern: ["/dev/nvidia0"])
    gpu = about("GPU", look_at_gpu())
    assert (gpu.status, gpu.text.split()[0]) == ("problem", "/dev/nvidia0")
    program(tmp_path, "nvidia-smi", "echo Tesla K80, 470.57")
    assert about("GPU", look_at_gpu()).text.startswith(
        "Tesla K80, driver 470.57 is there, but torch finds none"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert about("GPU", look_at_gpu()).status == "note"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    job(monkeypatch)
    gpu = about("GPU", look_at_gpu())
    assert (gpu.status, "Slurm didn't grant it" in gpu.text) == ("note", True)


def test_nvidia_smi_without_a_driver_names_nothing(tmp_path):
    program(tmp_path, "nvidia-smi", "echo 'failed, it couldn’t communicate with the driver'; exit 9")
    assert gpu_check.gpus_of_machine() == []


@pytest.mark.parametrize(
    ("capability", "status", "hint"),
    [
        ((8, 6), "ok", ""),
        ((7, 0), "problem", "cu126"),
        ((3, 7), "problem", "newer GPU"),
        ((12, 0), "problem", "newer build"),
    ],
)
def test_architecture(monkeypatch, capability, status, hint):
    fake_torch(monkeypatch, seen=True, capability=capability)
    monkeypatch.setattr(gpu_check, "_difference", lambda torch, device: 1e-6)
    found = list(look_at_gpu())
    assert about("architecture", found).status == status
    assert hint in about("architecture", found).hint
    assert about("GPU", found).text == "Tesla Fake, 16 GB, and 1 more, which one job doesn't use"


@pytest.mark.parametrize(("off", "status"), [(1e-6, "ok"), (0.5, "problem"), (float("inf"), "problem")])
def test_convolution(monkeypatch, off, status):
    fake_torch(monkeypatch, seen=True)
    monkeypatch.setattr(gpu_check, "_difference", lambda torch, device: off)
    assert about("convolution", look_at_gpu()).status == status


def test_a_convolution_that_fails(monkeypatch):
    fake_torch(monkeypatch, seen=True)  # without conv2d
    assert about("convolution", look_at_gpu()).status == "problem"


def test_the_convolution_itself():
    import torch

    assert gpu_check._difference(torch, "cpu") == 0
    image, kernels = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)
    y, gx, gw = gpu_check._convolve(torch, image, kernels, "cpu")
    assert y.tolist() == [[[[9, 9], [9, 9]]]]
    assert (gx.shape, gw.shape) == (image.shape, kernels.shape)


def test_a_gpu_that_computes_nonsense(monkeypatch):
    import torch

    convolve = gpu_check._convolve

    def nonsense(torch, image, kernels, device):
        results = convolve(torch, image, kernels, "cpu")
        return results if device == "cpu" else [results[0] * float("nan"), *results[1:]]

    monkeypatch.setattr(gpu_check, "_convolve", nonsense)
    assert gpu_check._difference(torch, "cuda") == float("inf")


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert about("torch", look_at_gpu()).status == "note"
    job(monkeypatch, SLURM_JOB_GPUS="0")
    assert about("torch", look_at_gpu()).status == "problem"


@pytest.mark.parametrize(
    ("threads", "given", "status"),
    [(1, None, "ok"), (4, None, "problem"), (4, "8", "problem"), (2, "1", "problem"), (2, "2", "ok")],
)
def test_cores(monkeypatch, threads, given, status):
    monkeypatch.setattr(doctor, "available_cores", lambda: 2)
    if given:
        job(monkeypatch, SLURM_CPUS_PER_TASK=given)
    (cores,) = doctor._cores(threads)
    assert cores.status == status
    assert f"training.threads is {threads}" in cores.text


@pytest.mark.parametrize(
    ("free", "status", "said"),
    [(5e12, "ok", "5.0 TB"), (5e10, "ok", "50 GB"), (5e9, "note", "5.0 GB"), (5e8, "problem", "0.5 GB")],
)
def test_space(monkeypatch, tmp_path, free, status, said):
    asked = []

    def usage(path):
        asked.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(doctor.shutil, "disk_usage", usage)
    (space,) = doctor._space(tmp_path / "not" / "yet" / "there")
    assert (space.status, said in space.text, asked) == (status, True, [tmp_path])


def test_slurm(monkeypatch, tmp_path):
    assert about("Slurm", doctor._slurm()).text.startswith("no sbatch and no sinfo here")
    program(tmp_path, "sbatch", "exit 0")
    program(tmp_path, "sinfo", "case $1 in --version) echo slurm-wlm 22.05.8;; *) echo 'norm*|(null)'; esac")
    job(monkeypatch, SLURM_JOB_PARTITION="norm")
    found = list(doctor._slurm())
    assert about("Slurm job", found).text == "this is job 1 of partition norm, not granted a GPU"
    text = "22.05.8, slurmctld answers; no partition has GPUs; other partitions: norm"
    assert about("Slurm", found) == Finding("Slurm", "ok", text)
    assert about("accounting", found).status == "problem"


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("exit 0", "ok", "sacct answers"),
        ("echo Slurm accounting storage is disabled >&2; exit 1", "problem", "storage is disabled"),
        ("exit 1", "problem", "it failed"),
    ],
)
def test_accounting(tmp_path, script, status, said):
    program(tmp_path, "sacct", script)
    found = doctor._accounting()
    assert (found.status, said in found.text) == (status, True)


@pytest.mark.parametrize(
    ("says", "status", "said"),
    [
        ("fatal: Could not establish a configuration source", "note", "no slurm.conf"),
        ("slurm_load_partitions: Unable to contact slurm controller", "problem", "Unable to contact"),
        ("", "problem", "sinfo failed"),
    ],
)
def test_slurm_does_not_answer(tmp_path, says, status, said):
    program(tmp_path, "sbatch", "exit 0")
    program(tmp_path, "sinfo", f"echo '{says}' >&2; exit 1")
    slurm = about("Slurm", doctor._slurm())
    assert (slurm.status, said in slurm.text) == (status, True)


def test_describe_partitions():
    lines = "norm*|lscratch:800\ngpu|gpu:k80:4(S:0-1),lscratch:800\ngpu|gpu:a100:2,gpu:v100x:4\nold|gpu:2\nquick|(null)"
    said = "GPUs in gpu (k80, a100, v100x), old (any model); other partitions: norm, quick"
    assert describe_partitions(lines) == said
    many = "\n".join(f"p{i}|(null)" for i in range(20))
    assert describe_partitions(many).endswith("p7 and 12 more")


def test_container(monkeypatch, tmp_path):
    assert about("container", doctor._container()).status == "note"
    program(tmp_path, "singularity", "echo singularity-ce version 4.1.0")
    assert about("container", doctor._container()).text == "singularity-ce 4.1.0"
    program(tmp_path, "apptainer", "echo broken >&2; exit 255")
    assert about("container", doctor._container()).status == "problem"
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/genenet.sif")
    assert about("container", doctor._container()).text == "inside /images/genenet.sif"


def test_programs_that_hang_or_lack(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis, "SECONDS_TO_ANSWER", 0.2)
    program(tmp_path, "hangs", "exec /bin/sleep 20")
    assert (ask("hangs").ok, ask("hangs").text) == (False, "no answer in 0.2 s")
    assert not ask("lacks").ok


def test_a_probe_that_raises_is_a_finding():
    def look():
        yield Finding("x", "ok", "first")
        raise ValueError("then\nnot")

    text = "could not be looked at: ValueError: then not"
    assert probe("x", look) == [Finding("x", "ok", "first"), Finding("x", "problem", text)]


def test_config(monkeypatch, tmp_path):
    assert doctor._wanted(None) == ([], doctor.DEFAULT_RESULTS, doctor.DEFAULT_THREADS)
    (wrong,), *_ = doctor._wanted(tmp_path / "no.yaml")
    assert (wrong.status, "no such file" in wrong.text) == ("problem", True)
    (tmp_path / "config.yaml").write_text("trainig: {}")
    (wrong,), *_ = doctor._wanted(None)
    assert "trainig" in wrong.text


def test_config_says_threads_and_results(monkeypatch, tmp_path):
    from genenet.config.training import Training

    read = SimpleNamespace(results="elsewhere", training=Training(threads=3))
    monkeypatch.setattr("genenet.config.model.read_config", lambda path: read)
    (tmp_path / "c.yaml").touch()
    assert doctor._wanted(tmp_path / "c.yaml") == ([], "elsewhere", 3)


def test_the_defaults_are_those_of_the_config():
    from genenet.config.model import Config
    from genenet.config.training import Training

    assert Training().threads == doctor.DEFAULT_THREADS
    assert Config.model_fields["results"].default == doctor.DEFAULT_RESULTS


def test_an_image_being_built(monkeypatch):
    """No GPU, no Slurm, no Apptainer, no config: nothing to repair."""
    fake_torch(monkeypatch)
    monkeypatch.setattr(doctor, "available_cores", lambda: 2)
    found = examine(None, None)
    assert [finding for finding in found if finding.status == "problem"] == []
    topics = ["versions", "workflow", "images", "torch", "GPU", "cores", "space", "Slurm", "container"]
    assert [finding.topic for finding in found] == topics


def test_print(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    print_findings([Finding("GPU", "problem", "x [y] " * 20, "repair it"), Finding("cores", "note", "few")])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.startswith("✗ problem  GPU    x [y]")
    assert "\n                  → repair it" in out
    assert "– note" in out
    assert out.rstrip().endswith("1 problem: GPU.")
    assert max(map(len, out.splitlines())) <= 80
    assert not any(line.endswith(" ") for line in out.splitlines())


def environment(tmp_path, **variables):
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **variables}


@pytest.mark.process
def test_the_command(tmp_path):
    command = runs.genenet("doctor", "--json", "--results", tmp_path)
    (tmp_path / "config.yaml").write_text("nonsense")
    done = runs.run(command, cwd=tmp_path, env=environment(tmp_path))
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], done.stderr) == (1, False, "")
    assert said["findings"][0]["topic"] == "config"
    assert set(said["findings"][0]) == {"topic", "status", "text", "hint"}


@pytest.mark.process
def test_the_command_in_a_job_with_an_unseen_gpu_and_no_unicode(tmp_path):
    variables = {"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0", "PYTHONIOENCODING": "ascii"}
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    done = runs.run(runs.genenet("doctor"), cwd=tmp_path, env=environment(tmp_path, **variables))
    assert done.returncode == 1
    assert "Slurm granted this job one, but torch finds none" in " ".join(done.stdout.split())
    assert done.stderr == ""


def test_what_the_launcher_lacks(monkeypatch):
    versions = {"snakemake": "9.17.3", "snakemake-executor-plugin-slurm": "2.9.0"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, "1"))
    monkeypatch.setattr(
        doctor.slurm_plugin, "installed", lambda: {"snakemake-executor-plugin-slurm": "2.9.0"}
    )
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    found = list(doctor._launcher())
    assert "9.17.3 is too old: 9.16.3 to 9.19 read the runtime" in about("Snakemake", found).text
    assert about("Slurm plugin", found).status == "note"
    assert "2.9.0: not tested with genenet" in about("Slurm plugin", found).text
    assert about("home", found).hint == "export XDG_CACHE_HOME=$PWD/.snakemake/cache"


def test_a_good_launcher_needs_no_word(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(doctor._launcher()) == []
