"""Commands for volumes to segment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genenet.cli.commands import LOOK, SEGMENT, Out, Settings, app
from genenet.cli.options import given, options_of
from genenet.config.segmentation import Segmentation
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.segmentation.receipts import Receipt


@app.command(rich_help_panel=SEGMENT)
@options_of(Segmentation, leave_out={"jobs"})
def segment(
    ensemble: Annotated[Path, typer.Option(help="the ensemble's folder")],
    out: Annotated[Path, typer.Option("--out", help="the OME-Zarr to write, or to continue")],
    images: Annotated[list[Path] | None, typer.Argument(help="a volume, or files to stack along z")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="settings of the workflow, instead of images and options")
    ] = None,
    part: Annotated[str, typer.Option(help="which share of the blocks, such as 2/16")] = "1/1",
    receipt: Annotated[Path | None, typer.Option(help="JSON file that says what was done")] = None,
    region: Annotated[
        str, typer.Option(help="half-open part of the volume, z, y, x, such as 0:100,:,200:900")
    ] = ":,:,:",
    mask: Annotated[
        list[Path] | None, typer.Option(help="integer image of the same shape; 0 where nothing is segmented")
    ] = None,
    flip: Annotated[
        str | None,
        typer.Option(
            help="axes along which MRC files are mirrored: y beside a mask that IMOD or Fiji saved, or none if it fits"
        ),
    ] = None,
    voxel_size: Annotated[
        str | None, typer.Option(help="nm along z, y, x, such as 50x10x10, if the file doesn't say")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu")] = "auto",
    **segmentation: Any,
) -> None:
    """Segment a volume with an ensemble, into an OME-Zarr; run again, it does the blocks that are missing."""
    from genenet.config.stages import SegmentSettings, read_settings
    from genenet.core.validation import validate
    from genenet.init.request import read_flip

    if (settings is None) == (not images):
        raise InputError("give either an image or --settings")
    if settings is not None:
        wanted = read_settings(settings, SegmentSettings)
    else:
        volume = {
            "image": images,
            "labels": None,
            "region": _region(region),
            "mask": mask,
            "flip": read_flip(flip) if flip else None,
            "voxel_size_nm": voxel_size.split("x") if voxel_size else None,
        }
        values = {
            "volume": volume,
            "segmentation": given(segmentation),
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
    from genenet.cli.progress import show_blocks, show_receipt
    from genenet.core.atomic_files import write_json
    from genenet.core.resources import keep_freed_memory
    from genenet.ensembles.ensemble import load_ensemble
    from genenet.networks.device import choose_device, set_threads
    from genenet.segmentation.job import SegmentationJob
    from genenet.segmentation.part import PartOfSegmentation

    def run() -> Receipt:
        set_threads(wanted.threads)
        device = choose_device(wanted.device)
        job = SegmentationJob(load_ensemble(ensemble), wanted.volume, wanted.segmentation, device, out)
        with show_blocks(out.name) as show:
            return job.run(*part, show)

    keep_freed_memory()
    if receipt is None:
        show_receipt(run())
        return
    done = PartOfSegmentation(wanted, ensemble, out, receipt, *part).run(run)
    show_receipt(done)
    write_json(receipt, done.model_dump(mode="json"))


@app.command(rich_help_panel=SEGMENT)
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
    from genenet.cli.progress import show_blocks
    from genenet.config.postprocessing import Postprocessing
    from genenet.config.stages import read_settings
    from genenet.core.atomic_files import write_json
    from genenet.segmentation.objects import PostprocessingJob, from_options, table_of

    options = from_options(min_size or [], fill_holes or [], objects or [], connectivity)
    wanted = read_settings(settings, Postprocessing) if settings else options
    with show_blocks(store.name) as show:
        done = PostprocessingJob(store, wanted, table or table_of(store)).run(show)
    if receipt:
        write_json(receipt, done)


@app.command(rich_help_panel=SEGMENT)
def export(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr")],
    tiff: Annotated[Path | None, typer.Option(help="BigTIFF to write")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="segmentation or cleaned, for the TIFF; cleaned, if it was post-processed"),
    ] = None,
) -> None:
    """Check that a segmentation is complete, add its pyramid, and write it as a compressed BigTIFF."""
    from genenet.segmentation.export import export_tiff
    from genenet.segmentation.receipts import finished_store
    from genenet.volumes import ome_zarr
    from genenet.volumes.label_images import class_labels

    class_labels(finished_store(store), labels)
    ome_zarr.build_pyramid(store)
    if tiff:
        export_tiff(store, tiff, labels)


@app.command(rich_help_panel=LOOK)
def view(
    store: Annotated[Path, typer.Argument(help="a segmentation, OME-Zarr")],
    image: Annotated[Path | None, typer.Option(help="what was segmented, if it is an OME-Zarr")] = None,
) -> None:
    """Show a segmentation in neuroglancer: prints an address for a browser on this machine."""
    from threading import Event

    from genenet.segmentation.viewing import view as show

    print(
        f"{show(store, image).get_viewer_url()}\nopen this address in a browser; Ctrl-C ends it", flush=True
    )
    Event().wait()


@app.command(rich_help_panel=SEGMENT)
def evaluate(
    out: Out,
    settings: Settings,
    segmentation: Annotated[Path | None, typer.Option(help="a finished segmentation, OME-Zarr")] = None,
    ensemble: Annotated[Path | None, typer.Option(help="an ensemble's folder, with --data")] = None,
    data: Annotated[Path | None, typer.Option(help="prepared images to score it on")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="the results folder: the other strategies' ensembles are scored as well"),
    ] = None,
) -> None:
    """Score a segmentation against labels, or an ensemble on prepared images."""
    from genenet.config.stages import EvaluateSettings, TestSettings, read_settings
    from genenet.core.atomic_files import write_json

    if segmentation:
        from genenet.segmentation.evaluation import evaluate_store

        labels = read_settings(settings, EvaluateSettings)
        write_json(out, evaluate_store(segmentation, labels.volume, labels.ignore_label, labels.labels))
    elif ensemble and data:
        from genenet.core.paths import ResultPaths
        from genenet.ensembles.scoring import evaluate_ensemble, evaluate_strategies
        from genenet.networks.device import choose_device, set_threads

        wanted = read_settings(settings, TestSettings)
        set_threads(wanted.threads)
        device = choose_device(wanted.device)
        found = evaluate_ensemble(ensemble, data, device)
        if results:
            found["strategies"] = evaluate_strategies(ResultPaths(results), ensemble, data, device)
        write_json(out, found)
    else:
        raise InputError("give --segmentation, or --ensemble and --data")
