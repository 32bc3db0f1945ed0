"""The command line: arguments only. Heavy imports stay inside the commands, so that help comes at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genenet import console
from genenet.errors import InputError, naming

EXIT_STOPPED = 75  # EX_TEMPFAIL: the time was over; the same command goes on

app = typer.Typer(
    help="Random search for segmentation networks: draw genomes, train each, segment with the best few.",
    epilog="Anywhere on the line: --debug shows the traceback of an error, --log FILE writes messages to a file too.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Settings = Annotated[
    Path, typer.Option("--settings", help="the stage's settings, as the workflow writes them")
]
Out = Annotated[Path, typer.Option("--out", help="where the result goes")]


def main() -> None:
    """Run the command line."""
    console.run(app)


def _version(wanted: bool) -> None:
    if wanted:
        from genenet import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and stop")
    ] = False,
) -> None:
    pass


@app.command()
def phantom(
    shape: Annotated[str, typer.Option(help="voxels along z, y, x, such as 12x512x512")],
    image: Annotated[Path, typer.Option(help="TIFF to write")],
    labels: Annotated[Path, typer.Option(help="TIFF to write")],
    seed: Annotated[int, typer.Option(help="others give other volumes")] = 0,
) -> None:
    """Make a synthetic SBF-SEM volume of platelets, with labels of 7 classes."""
    from genenet.phantom import write_phantom

    try:
        z, y, x = (int(n) for n in shape.split("x"))
    except ValueError:
        raise InputError(
            f"--shape {shape}: give three numbers of voxels, z, y, x, such as 12x512x512"
        ) from None
    write_phantom((z, y, x), seed, image, labels)


@app.command()
def settings(
    stage: Annotated[str, typer.Argument(help="such as train or prepare_test")],
    value: Annotated[str, typer.Option("--json", help="the settings")],
    out: Out,
) -> None:
    """Write a stage's settings as a file (the workflow does this)."""
    from genenet.files import write_json

    try:
        write_json(out, json.loads(value))
    except json.JSONDecodeError as error:
        raise InputError(f"{stage}: --json is not JSON ({error})") from None


@app.command()
def check(config: Annotated[Path, typer.Argument(help="a config.yaml")] = Path("config.yaml")) -> None:
    """Check a config.yaml."""
    from genenet.config import read_config

    read_config(config)
    print(f"{config}: fine")


@app.command()
def schema() -> None:
    """Print the JSON schema of config.yaml, for editors."""
    from genenet.config import Config

    print(json.dumps(Config.model_json_schema(), indent=1))


@app.command()
def prepare(settings: Settings, out: Out) -> None:
    """Check labelled images and pack them for training."""
    from genenet.prepare import prepare as run
    from genenet.stages import PrepareSettings, read_settings

    run(read_settings(settings, PrepareSettings), out)


@app.command()
def generate(
    out: Out,
    settings: Settings,
    index: Annotated[
        int | None, typer.Option(min=0, help="which genome of the search; not for a baseline")
    ] = None,
    round_: Annotated[int, typer.Option("--round", min=0, help="which round of the search")] = 0,
) -> None:
    """Draw one random genome, or write a baseline's."""
    from genenet.baselines import baseline
    from genenet.config import Draws
    from genenet.genome import draw
    from genenet.stages import BaselineSettings, read_settings

    if index is None:
        wanted = read_settings(settings, BaselineSettings)
        genome = baseline(wanted.name, wanted.options)
    else:
        draws = read_settings(settings, Draws)
        genome = draw(draws.feasible_regions(), draws.seed, index, round_)
    genome.write(out)


@app.command()
def inspect(
    genome: Annotated[Path, typer.Argument(help="a genome's JSON file")],
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="patches of a training step, for its memory")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what network a genome builds: parameters, sizes, layers."""
    from genenet.genome import read_genome
    from genenet.inspection import inspect as describe
    from genenet.inspection import print_table

    with naming(genome):
        description = describe(read_genome(genome), classes, batch_size)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_table(description)


@app.command()
def train(
    genome: Annotated[Path, typer.Option(help="a genome's JSON file")],
    train: Annotated[Path, typer.Option(help="prepared training images")],
    validation: Annotated[Path, typer.Option(help="prepared validation images")],
    settings: Settings,
    out: Annotated[Path, typer.Option("--out", help="the run's folder")],
    stop_after_minutes: Annotated[
        float | None, typer.Option(min=0, help="then write a checkpoint and exit with 75")
    ] = None,
) -> None:
    """Train one genome; run again after an interruption, it goes on from its last checkpoint."""
    from genenet.allocation import keep_freed_memory
    from genenet.genome import read_genome
    from genenet.paths import RunPaths
    from genenet.progress import show_training
    from genenet.stages import TrainSettings, read_settings
    from genenet.stopping import Stop
    from genenet.training_run import TrainingRun

    keep_freed_memory()
    chosen = read_genome(genome)
    run = TrainingRun(chosen, train, validation, read_settings(settings, TrainSettings), RunPaths(out))
    with show_training(chosen.name) as show, Stop(stop_after_minutes).on_signals() as stop:
        finished = run.run(stop, show)
    if not finished:
        sys.exit(EXIT_STOPPED)


@app.command()
def select(
    runs: Annotated[list[str], typer.Argument(help="names of runs, such as r0/000 baselines/unet2015")],
    results: Annotated[Path, typer.Option(help="the results folder that they are in")],
    settings: Settings,
) -> None:
    """Rank the runs, compute the best-k curve, write the ensemble."""
    from genenet.ensemble import select as run
    from genenet.paths import ResultPaths
    from genenet.stages import SelectSettings, read_settings

    run(ResultPaths(results), runs, read_settings(settings, SelectSettings))


@app.command()
def segment(
    ensemble: Annotated[Path, typer.Option(help="the ensemble's folder")],
    out: Annotated[Path, typer.Option("--out", help="the OME-Zarr to write or to go on with")],
    images: Annotated[list[Path] | None, typer.Argument(help="a volume, or files to stack along z")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="settings of the workflow, instead of images and options")
    ] = None,
    part: Annotated[str, typer.Option(help="which share of the blocks, such as 2/16")] = "1/1",
    receipt: Annotated[Path | None, typer.Option(help="JSON file that says what was done")] = None,
    block: Annotated[str, typer.Option(help="voxels written in one piece, z, y, x")] = "16x1280x1280",
    memory_mb: Annotated[
        int, typer.Option(min=1, help="what the networks may take, on each CPU core or on the GPU")
    ] = 1000,
    compute: Annotated[
        str, typer.Option(help="float32, bfloat16 or auto: type that they compute in")
    ] = "float32",
    turns: Annotated[
        bool, typer.Option(help="average over flips and right-angle turns, 8 times the time")
    ] = False,
    blend: Annotated[
        bool, typer.Option(help="same-padded networks: overlapping tiles, Gaussian weights, instead of halos")
    ] = False,
    region: Annotated[
        str, typer.Option(help="half-open part of the volume, z, y, x, such as 0:100,:,200:900")
    ] = ":,:,:",
    mask: Annotated[
        list[Path] | None, typer.Option(help="integer image of the same shape; 0 where nothing is segmented")
    ] = None,
    voxel_size: Annotated[
        str | None, typer.Option(help="nm along z, y, x, such as 50x10x10, if the file doesn't say")
    ] = None,
    rescale: Annotated[
        bool, typer.Option(help="resample to the ensemble's voxel size while reading")
    ] = False,
    probabilities: Annotated[bool, typer.Option(help="also write each class's probability")] = False,
    disagreement: Annotated[bool, typer.Option(help="also write how far the members are apart")] = False,
    precision: Annotated[
        str, typer.Option(help="uint8, float16 or float32, of uncertainty and probabilities")
    ] = "uint8",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu")] = "auto",
) -> None:
    """Segment a volume with an ensemble, into an OME-Zarr; run again, it does the blocks that are missing."""
    from genenet.config import validate
    from genenet.stages import SegmentSettings, read_settings

    if (settings is None) == (not images):
        raise InputError("give either an image or --settings")
    if settings is not None:
        wanted = read_settings(settings, SegmentSettings)
    else:
        values = {
            "volume": {
                "image": images,
                "labels": None,
                "region": _region(region),
                "mask": mask,
                "voxel_size_nm": voxel_size.split("x") if voxel_size else None,
            },
            "segmentation": {
                "block": block.split("x"),
                "memory_mb": memory_mb,
                "compute": compute,
                "turns": turns,
                "blend": blend,
                "rescale": rescale,
                "probabilities": probabilities,
                "disagreement": disagreement,
                "precision": precision,
            },
            "threads": threads,
            "device": device,
        }
        wanted = validate(SegmentSettings, values, "segment")
    _segment(wanted, ensemble, out, _part(part), receipt)


def _region(text: str) -> list[list[str] | None]:
    axes = text.split(",")
    if len(axes) != 3 or any(axis.count(":") != 1 for axis in axes):
        raise InputError(
            f"--region {text}: give start:stop along z, y and x, such as 0:100,:,200:900; : is the whole axis"
        )
    return [None if axis.strip() == ":" else axis.split(":") for axis in axes]


def _part(text: str) -> tuple[int, int]:
    try:
        part, n_parts = (int(n) for n in text.split("/"))
    except ValueError:
        part, n_parts = 0, 0
    if not 1 <= part <= n_parts:
        raise InputError(f"--part {text}: give a share such as 2/16, from 1/16 to 16/16")
    return part, n_parts


def _segment(wanted: Any, ensemble: Path, out: Path, part: tuple[int, int], receipt: Path | None) -> None:
    from genenet.allocation import keep_freed_memory
    from genenet.device import choose_device, set_threads
    from genenet.ensemble import load_ensemble
    from genenet.files import write_json
    from genenet.progress import show_blocks, show_receipt
    from genenet.segmentation import SegmentationJob

    keep_freed_memory()
    set_threads(wanted.threads)
    device = choose_device(wanted.device)
    job = SegmentationJob(load_ensemble(ensemble), wanted.volume, wanted.segmentation, device, out)
    with show_blocks(out.name) as show:
        done = job.run(*part, show)
    show_receipt(done)
    if receipt:
        write_json(receipt, done)


@app.command()
def postprocess(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr")],
    min_size: Annotated[
        list[str] | None,
        typer.Option(help="smaller components become what they touch most: 50, or CLASS=50; may be repeated"),
    ] = None,
    fill_holes: Annotated[
        list[str] | None,
        typer.Option(help="CLASS whose holes are filled, or CLASS=LARGEST in voxels; may be repeated"),
    ] = None,
    objects: Annotated[
        list[str] | None, typer.Option(help="CLASS whose components are numbered and listed; may be repeated")
    ] = None,
    connectivity: Annotated[int, typer.Option(help="6 (through faces) or 26, of components")] = 6,
    table: Annotated[Path | None, typer.Option(help="CSV of the objects; STORE.objects.csv")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="settings of the workflow, instead of options")
    ] = None,
    receipt: Annotated[Path | None, typer.Option(help="JSON file that says what was done")] = None,
) -> None:
    """Remove specks, fill holes, count objects of a segmentation, as further labels in its OME-Zarr.

    It replaces what an earlier call made; without options, it only removes that.
    """
    from genenet.files import write_json
    from genenet.objects import PostprocessingJob, from_options, table_of
    from genenet.postprocessing import Postprocessing
    from genenet.progress import show_blocks
    from genenet.stages import read_settings

    options = from_options(min_size or [], fill_holes or [], objects or [], connectivity)
    wanted = read_settings(settings, Postprocessing) if settings else options
    with show_blocks(store.name) as show:
        done = PostprocessingJob(store, wanted, table or table_of(store)).run(show)
    if receipt:
        write_json(receipt, done)


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr")],
    tiff: Annotated[Path | None, typer.Option(help="BigTIFF to write")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="segmentation or cleaned, for the TIFF; cleaned, if it was post-processed"),
    ] = None,
) -> None:
    """Check that a segmentation is complete, add its pyramid, and write it as a compressed BigTIFF."""
    from genenet import ngff
    from genenet.label_images import class_labels
    from genenet.segmentation import check_complete
    from genenet.tiff import export_tiff

    opened = ngff.open_store(store)
    check_complete(opened)
    class_labels(opened, labels)
    ngff.build_pyramid(store)
    if tiff:
        export_tiff(store, tiff, labels)


@app.command()
def view(
    store: Annotated[Path, typer.Argument(help="a segmentation, OME-Zarr")],
    image: Annotated[Path | None, typer.Option(help="what was segmented, if it is an OME-Zarr")] = None,
) -> None:
    """Show a segmentation in neuroglancer: prints an address for a browser on this machine."""
    from threading import Event

    from genenet.viewing import view as show

    print(
        f"{show(store, image).get_viewer_url()}\nopen this address in a browser; Ctrl-C ends it", flush=True
    )
    Event().wait()


@app.command()
def evaluate(
    out: Out,
    settings: Settings,
    segmentation: Annotated[Path | None, typer.Option(help="a finished segmentation, OME-Zarr")] = None,
    ensemble: Annotated[Path | None, typer.Option(help="an ensemble's folder, with --data")] = None,
    data: Annotated[Path | None, typer.Option(help="prepared images to score it on")] = None,
) -> None:
    """Score a segmentation against labels, or an ensemble on prepared images."""
    from genenet.files import write_json
    from genenet.stages import EvaluateSettings, TestSettings, read_settings

    if segmentation:
        from genenet.evaluation import evaluate_store

        labels = read_settings(settings, EvaluateSettings)
        write_json(out, evaluate_store(segmentation, labels.volume, labels.ignore_label, labels.labels))
    elif ensemble and data:
        from genenet.device import choose_device, set_threads
        from genenet.evaluation import evaluate_ensemble

        wanted = read_settings(settings, TestSettings)
        set_threads(wanted.threads)
        write_json(out, evaluate_ensemble(ensemble, data, choose_device(wanted.device)))
    else:
        raise InputError("give --segmentation, or --ensemble and --data")


@app.command()
def report(
    results: Annotated[Path, typer.Option(help="the results folder")], settings: Settings, out: Out
) -> None:
    """Write the report."""
    from genenet.report import write_report
    from genenet.stages import ReportSettings, read_settings

    write_report(results, read_settings(settings, ReportSettings), out)


@app.command()
def summary(results: Annotated[Path, typer.Argument(help="the results folder")] = Path("results")) -> None:
    """Print the ranking, and where report and segmentations are."""
    from genenet.summary import print_summary

    print_summary(results)


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="a config.yaml")] = Path("config.yaml"),
    cluster: Annotated[
        str | None, typer.Option(help="slurm or local; slurm, if sbatch is on the PATH")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm: partition")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm: account")] = None,
    gpu: Annotated[
        str,
        typer.Option(
            help="Slurm: options of sbatch that ask for a GPU, such as gpus=v100x:1 or gres=gpu:v100x:1,lscratch:100"
        ),
    ] = "",
    minutes: Annotated[
        int, typer.Option(min=1, help="Slurm: time limit of a job; a longer training goes on in the next")
    ] = 240,
    mem_gb: Annotated[int, typer.Option(min=1, help="Slurm: memory of a job in GB")] = 16,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="trainings at a time; all on Slurm, as many as there are cores for on this machine"
        ),
    ] = None,
    container: Annotated[
        str | None, typer.Option(help="image that genenet runs in, instead of the config's; '' for none")
    ] = None,
    container_args: Annotated[
        str, typer.Option(help="options of apptainer exec besides --nv, such as '--bind /data/em'")
    ] = "",
    wait: Annotated[bool, typer.Option(help="tell how each training ends (Slurm)")] = True,
) -> None:
    """Train all networks of a search without Snakemake: one job array on Slurm, or local processes."""
    from genenet.clusters import Options
    from genenet.config import read_config
    from genenet.launch import submit as run

    search = read_config(config)
    if container is not None:
        search = search.model_copy(update={"container": container or None})
    options = Options(cluster, partition, account, gpu, minutes, mem_gb, jobs, container_args, wait)
    sys.exit(0 if run(search, options) else 1)


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="says threads and results folder; config.yaml, if it is there")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="the results folder, instead")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look at GPU, torch, cores, disk, Slurm and container; exit with 1 if something has to be mended."""
    from genenet.doctor import examine
    from genenet.findings import is_ok, print_findings, print_json

    findings = examine(config, results)
    (print_json if as_json else print_findings)(findings)
    sys.exit(0 if is_ok(findings) else 1)
