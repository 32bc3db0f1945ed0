"""The profiles hold together: Biowulf's, which no test can try, is the Slurm one but for what its site wants."""

from pathlib import Path

import yaml

PROFILES = Path(__file__).parents[3] / "profiles"


def read(name):
    """A profile as pairs of path and value."""

    def flat(value, at=()):
        if isinstance(value, dict):
            return {path: v for key, inner in value.items() for path, v in flat(inner, (*at, key)).items()}
        return {at: value}

    return flat(yaml.safe_load((PROFILES / name / "config.yaml").read_text()))


def test_biowulf_differs_only_in_partitions_gpu_and_binds():
    slurm, biowulf = read("slurm"), read("biowulf")
    differ = {path for path in slurm.keys() | biowulf.keys() if slurm.get(path) != biowulf.get(path)}
    with_gpu = ("train", "train_pack", "rung", "rung_pack", "refit", "segment", "test", "control")
    wanted = {("default-resources", "slurm_partition"), ("apptainer-args",)}
    for name in ("slurm_partition", "slurm_extra"):
        wanted |= {("set-resources", rule, name) for rule in with_gpu}
    assert differ == wanted
    assert {biowulf["set-resources", rule, "slurm_extra"] for rule in with_gpu} == {
        r"--gres\=gpu:v100x:1,lscratch:100"
    }
    assert "NOT TESTED" in (PROFILES / "biowulf/config.yaml").read_text()
