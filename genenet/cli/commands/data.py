"""Commands for images and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genenet.cli.commands import BY_HAND, CONFIG, FIRST_STEPS, ConfigFile, Out, Settings, app
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.search.cost import TrainingsCost


@app.command(rich_help_panel=FIRST_STEPS)
def phantom(
    shape: Annotated[str, typer.Option(help="voxels along z, y, x, such as 12x512x512")],
    image: Annotated[Path, typer.Option(help="TIFF to write: the image")],
    labels: Annotated[Path, typer.Option(help="TIFF to write: the labels")],
    seed: Annotated[int, typer.Option(help="each seed gives another volume")] = 0,
    instances: Annotated[
        list[str] | None,
        typer.Option(help="a class and a TIFF to write: the numbers of its objects, such as cell=cells.tif"),
    ] = None,
    touching: Annotated[bool, typer.Option("--touching", help="neighbouring cells touch")] = False,
    contrast: Annotated[float, typer.Option(help="factor of the contrast; the noise stays the same")] = 1.0,
    noise: Annotated[float, typer.Option(help="factor of the noise")] = 1.0,
) -> None:
    """Make a synthetic SBF-SEM volume of platelets, with labels of 7 classes, and numbers of their objects."""
    from genenet.config.texts import read_named_path, read_option, read_shape
    from genenet.phantoms.phantom import write_phantom
    from genenet.phantoms.variants import Variant

    numbered = dict(read_option("instances", text, read_named_path) for text in instances or [])
    variant = Variant(touching, contrast, noise)
    write_phantom(read_option("shape", shape, read_shape), seed, image, labels, numbered, variant)


@app.command(rich_help_panel=BY_HAND)
def prepare(settings: Settings, out: Out) -> None:
    """Check labelled images and pack them for training."""
    from genenet.config.settings import PrepareSettings, read_settings
    from genenet.training.prepare import prepare as run

    run(read_settings(settings, PrepareSettings), out)


@app.command(rich_help_panel=BY_HAND)
def settings(
    stage: Annotated[str, typer.Argument(help="name of the stage, such as train or prepare_test")],
    value: Annotated[str, typer.Option("--json", help="the settings")],
    out: Out,
) -> None:
    """Write the settings of a stage as a file (for the workflow)."""
    from genenet.core.atomic_files import write_json

    try:
        write_json(out, json.loads(value))
    except json.JSONDecodeError as error:
        raise InputError(f"{stage}: --json is not JSON ({error})") from None


@app.command(rich_help_panel=FIRST_STEPS)
def check(config: ConfigFile = CONFIG) -> None:
    """Check a config.yaml and the images that it names, and estimate what its trainings cost."""
    from genenet.config.model import read_config
    from genenet.config.planned_packs import packs_text
    from genenet.ensembles.start import start_lines
    from genenet.search.cost import TrainingsCost
    from genenet.volumes.image_checks import check_images

    checked = read_config(config)
    for line in [*check_images(checked), *checked.data.warnings]:
        print(line)
    if str(checked.results).startswith(("~", "$")):
        print(f"results: {checked.results} is a folder of that name below this one; ~ and $ aren't expanded")
    for line in start_lines(checked):
        print(line)
    print(_cost(TrainingsCost.of(checked)))
    if jobs := packs_text(checked):
        print(jobs)
    print(f"{config}: fine")


def _cost(found: TrainingsCost) -> str:
    """Write what trainings cost for people."""
    from genenet.core.choices import listed
    from genenet.search.cost import CPU_CORE, GPU
    from genenet.status.time_left import short

    operations = f"{found.operations:.1e}".replace("e+", "e")
    counts = {"genomes": found.n_genomes, "baselines": found.n_baselines, "controls": found.n_controls}
    texts = [f"{n * found.n_folds} of {what}" for what, n in counts.items() if n]
    trainings = listed([*texts, *[f"up to {found.n_refits} of refits"] * bool(found.n_refits)])
    by_folds = f" ({found.n_folds} folds of each genome)" if found.n_folds > 1 else ""
    return (
        f"trainings: {trainings}{by_folds}, of up to {found.iterations:,} iterations: {operations} "
        f"operations, about {short(found.operations / GPU)} on a GPU with 1e13 of them a second, or "
        f"{short(found.operations / CPU_CORE)} on a CPU core with 4e10"
    )


@app.command(rich_help_panel=FIRST_STEPS)
def schema() -> None:
    """Print the JSON schema of config.yaml, which editors use."""
    from genenet.config.model import Config

    print(json.dumps(Config.model_json_schema(), indent=1))
