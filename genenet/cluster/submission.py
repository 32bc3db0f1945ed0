"""What the trainings need, made without Snakemake: the workflow's files, by its commands, in its order.

As there, a file is made if it is missing or older than what it depends on; settings are written if they differ.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from genenet.config import stages
from genenet.config.data import Phantom
from genenet.config.model import Config
from genenet.config.search import Draws
from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths
from genenet.genes.genome import draw


def is_fresh(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> bool:
    """Whether all files are there, and no input is newer than an output."""
    try:
        made, since = ([os.stat(path).st_mtime for path in paths] for paths in (outputs, inputs))
    except FileNotFoundError:
        return False
    return not since or min(made) >= max(since)


def make_inputs(config: Config, paths: ResultPaths, program: list[str]) -> None:
    """Make what the trainings need and isn't there, or is older than what it depends on."""
    runs = stages.runs(config)
    baselines = {stages.baseline_stage(run) for run in runs if run.startswith("baselines/")}
    trainings = {stages.train_stage(run) for run in runs}
    for stage in ("prepare_train", "prepare_validation", "generate", *sorted(trainings | baselines)):
        _make_settings(config, Path(paths.settings(stage)), stage)
    for split in ("train", "validation"):
        for phantom in {image.phantom for image in getattr(config.data, split) if image.phantom}:
            _make_phantom(phantom, paths, program)
        settings, data = paths.settings(f"prepare_{split}"), paths.data(split)
        if not is_fresh([data], [settings, *images(config, split)]):
            log = f"{paths.results}/logs/prepare/{split}.log"
            _call([*program, "prepare", "--settings", settings, "--out", data, "--log", log])
    for run in runs:
        _make_genome(run, paths)


def images(config: Config, split: str) -> list[Path]:
    """Return the files of all images of ``train`` or ``validation``, with labels and masks."""
    return [path for image in getattr(config.data, split) for path in stages.image_files(config, image).all]


def _make_settings(config: Config, path: Path, stage: str) -> None:
    wanted = json.loads(stages.settings_json(config, stage))
    if path.exists() and read_json(path) == wanted:
        return
    if path.exists():
        print(f"settings of {stage} have changed: what depends on them is made anew", flush=True)
        _let_snakemake_forget(path)
    write_json(path, wanted)


def _let_snakemake_forget(path: Path) -> None:
    """Remove Snakemake's note of what it last wrote there; it would write the file again, and train anew."""
    note = base64.urlsafe_b64encode(str(path).encode()).decode()
    Path(".snakemake", "metadata", note).unlink(missing_ok=True)


def _make_phantom(phantom: Phantom, paths: ResultPaths, program: list[str]) -> None:
    image, labels = (paths.phantom(phantom.name, kind) for kind in ("image", "labels"))
    if not is_fresh([image, labels], []):
        shape, log = "x".join(map(str, phantom.shape)), f"{paths.results}/logs/phantom/{phantom.name}.log"
        files = ["--image", image, "--labels", labels, "--log", log]
        _call([*program, "phantom", "--shape", shape, "--seed", str(phantom.seed), *files])


def _make_genome(run: str, paths: ResultPaths) -> None:
    kind, name = run.split("/")
    path = Path(paths.settings(stages.baseline_stage(run) if kind == "baselines" else "generate"))
    if is_fresh([paths.genome(run)], [path]):
        return
    if kind == "baselines":
        genome = stages.read_settings(path, stages.BaselineSettings).genome()
    else:
        draws = stages.read_settings(path, Draws)
        genome = draw(draws.feasible_regions(), draws.seed, int(name), int(kind[1:]))
    genome.write(Path(paths.genome(run)))


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        raise InputError("\n".join(errors or [f"{shlex.join(command)}: failed", *lines[-5:]]))
