"""Commands for volumes to segment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genenet.cli.commands import LOOK, SEGMENT, Out, Receipt, Settings, Threads, app
from genenet.cli.commands.volume_options import (
    WHOLE,
    DeviceName,
    Flip,
    Mask,
    Region,
    VoxelSize,
    volume_values,
)
from genenet.cli.options import given, options_of
from genenet.config.segmentation import Segmentation
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.config.settings import SegmentSettings
    from genenet.segmentation import receipts


@app.command(rich_help_panel=SEGMENT)
@options_of(Segmentation, leave_out={"jobs"})
def segment(
    ensemble: Annotated[Path, typer.Option(help="the ensemble's folder")],
    out: Annotated[Path, typer.Option("--out", help="the OME-Zarr to write, or to continue")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="a volume, or the files of a volume, to be stacked along z")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="the workflow's settings, instead of images and options")
    ] = None,
    part: Annotated[str, typer.Option(help="the share of the blocks to segment, such as 2/16")] = "1/1",
    receipt: Receipt = None,
    region: Region = WHOLE,
    mask: Mask = None,
    flip: Flip = None,
    voxel_size: VoxelSize = None,
    threads: Threads = None,
    device: DeviceName = "auto",
    **segmentation: Any,
) -> None:
    """Segment a volume with an ensemble into an OME-Zarr.

    The same command, run again after an interruption, segments the missing blocks.
    """
    from genenet.config import texts
    from genenet.config.settings import SegmentSettings, read_settings
    from genenet.core.validation import validate

    if (settings is None) == (not images):
        raise InputError("give either an image or --settings")
    wanted: SegmentSettings | Path
    if settings is not None:
        wanted = settings if receipt else read_settings(settings, SegmentSettings)
    else:
        volume = volume_values(images, region, mask, flip, voxel_size)
        options = given(Segmentation, segmentation)
        values = {"volume": volume, "segmentation": options, "threads": threads, "device": device}
        wanted = validate(SegmentSettings, values, "segment")
    _segment(wanted, ensemble, out, texts.read_option("part", part, texts.read_part), receipt, threads)


def _segment(
    wanted: SegmentSettings | Path,
    ensemble: Path,
    out: Path,
    part: tuple[int, int],
    receipt: Path | None,
    threads: int | None,
) -> None:
    from genenet.cli.progress import show_blocks, show_receipt
    from genenet.core.atomic_files import write_json
    from genenet.core.attempts import exit_codes_by_ending
    from genenet.core.resources import keep_freed_memory, threads_that_fit
    from genenet.ensembles.ensemble import load_ensemble
    from genenet.networks.device import choose_device, set_threads
    from genenet.segmentation.job import SegmentationJob
    from genenet.segmentation.part import PartOfSegmentation

    def run(settings: SegmentSettings) -> receipts.Receipt:
        set_threads(threads_that_fit(threads or settings.threads, settings.segmentation.memory_mb * 1e6))
        device = choose_device(settings.device)
        job = SegmentationJob(load_ensemble(ensemble), settings.volume, settings.segmentation, device, out)
        with show_blocks(out.name) as show:
            return job.run(*part, show)

    keep_freed_memory()
    if receipt is None:
        assert not isinstance(wanted, Path)
        show_receipt(run(wanted))
        return
    with exit_codes_by_ending():
        done = PartOfSegmentation(wanted, ensemble, out, receipt, *part).run(run)
        show_receipt(done)
        write_json(receipt, done.model_dump(mode="json"))


@app.command(rich_help_panel=SEGMENT)
def postprocess(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr")],
    min_size: Annotated[
        list[str] | None,
        typer.Option(
            help="components of fewer voxels become the class that they touch most: 50, or CLASS=50; may be repeated"
        ),
    ] = None,
    fill_holes: Annotated[
        list[str] | None,
        typer.Option(
            help="CLASS whose holes are filled, or CLASS=VOXELS of the largest hole; may be repeated"
        ),
    ] = None,
    objects: Annotated[
        list[str] | None, typer.Option(help="CLASS whose components are numbered and listed; may be repeated")
    ] = None,
    connectivity: Annotated[
        int, typer.Option(help="voxels of a component touch by faces (6), or by faces, edges or corners (26)")
    ] = 6,
    table: Annotated[
        Path | None, typer.Option(help="CSV of the objects to write; default: STORE.objects.csv")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="the workflow's settings, instead of options")] = None,
    receipt: Receipt = None,
) -> None:
    """Remove specks, fill holes and count objects of a segmentation, as further labels in its OME-Zarr.

    The labels of an earlier call are replaced; without options, they are only removed.
    """
    from genenet.cli.progress import show_blocks
    from genenet.config.postprocessing import Postprocessing
    from genenet.config.settings import read_settings
    from genenet.core.atomic_files import write_json
    from genenet.segmentation.objects import PostprocessingJob, from_options, table_of

    options = from_options(min_size or [], fill_holes or [], objects or [], connectivity)
    wanted = read_settings(settings, Postprocessing) if settings else options
    with show_blocks(store.name) as show:
        done = PostprocessingJob(store, wanted, table or table_of(store)).run(show)
    if receipt:
        write_json(receipt, done)


@app.command(rich_help_panel=SEGMENT)
def instances(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr, with objects")],
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="CLASS whose objects are numbered; may be repeated; default: all"),
    ] = None,
    seed: Annotated[
        float | None,
        typer.Option(help="core probability at which objects begin; default: the best on validation"),
    ] = None,
    extent: Annotated[
        float | None, typer.Option(help="probability of their voxels, core and border; default: likewise")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            help="part that seeds of an object share with those of the next slice; default: likewise"
        ),
    ] = None,
    min_size_voxels: Annotated[int | None, typer.Option(help="smaller seeds don't begin an object")] = None,
    settings: Annotated[Path | None, typer.Option(help="the workflow's settings, instead of options")] = None,
    threads: Threads = None,
    receipt: Receipt = None,
) -> None:
    """Number the objects of a segmentation, also those that touch; list them, and their doubtful contacts.

    Writes the labels instances_CLASS into the OME-Zarr, and STORE.instances_CLASS.csv and STORE.contacts_CLASS.csv
    beside it. Results of an earlier call are replaced.
    """
    from genenet.cli.progress import show_blocks
    from genenet.config.instances import InstanceSettings
    from genenet.config.settings import read_settings
    from genenet.core.atomic_files import write_json
    from genenet.core.resources import threads_that_fit
    from genenet.core.validation import validate
    from genenet.segmentation.instances import THREAD_BYTES, InstancesJob

    options = {"seed": seed, "extent": extent, "overlap": overlap, "min_size_voxels": min_size_voxels}
    chosen = {name: value for name, value in options.items() if value is not None}
    wanted = (
        read_settings(settings, InstanceSettings)
        if settings
        else validate(InstanceSettings, chosen, "instances")
    )
    job = InstancesJob(store, wanted, classes or [], threads=threads_that_fit(threads, THREAD_BYTES))
    with show_blocks(store.name) as show:
        done = job.run(show)
    if receipt:
        write_json(receipt, done)


@app.command(rich_help_panel=SEGMENT)
def export(
    store: Annotated[Path, typer.Argument(help="a finished segmentation, OME-Zarr")],
    tiff: Annotated[Path | None, typer.Option(help="BigTIFF to write")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="the labels in the TIFF, segmentation or cleaned; default: cleaned if it was post-processed"
        ),
    ] = None,
) -> None:
    """Check that a segmentation is complete, add its pyramid, and write it as a compressed BigTIFF."""
    from genenet.segmentation.export import export_tiff
    from genenet.segmentation.receipts import finished_store
    from genenet.volumes.label_images import class_labels
    from genenet.volumes.store_pyramid import build_pyramid

    class_labels(finished_store(store), labels)
    build_pyramid(store)
    if tiff:
        export_tiff(store, tiff, labels)


@app.command(rich_help_panel=LOOK)
def view(
    store: Annotated[Path, typer.Argument(help="a segmentation, OME-Zarr")],
    image: Annotated[
        Path | None,
        typer.Option(
            help="the segmented image, if it is an OME-Zarr; with --napari, if it isn't where it was segmented"
        ),
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help="a folder of boxes to show, with boxes.csv")] = None,
    contacts: Annotated[
        int,
        typer.Option(min=0, help="how many contacts of objects are marked in each class, the most doubtful"),
    ] = 1000,
    napari: Annotated[bool, typer.Option("--napari", help="open it in napari, not in a browser")] = False,
) -> None:
    """Show a segmentation in neuroglancer or napari, with its objects, their doubtful contacts, and boxes.

    For neuroglancer it prints an address to open in a browser on this machine.
    """
    if napari:
        from genenet.segmentation.napari_viewing import open_napari, run_napari

        open_napari(store, [image] if image else [], boxes=boxes, most_contacts=contacts)
        run_napari()
        return
    from threading import Event

    from genenet.segmentation.viewing import view as show

    address = show(store, image, boxes=boxes, most_contacts=contacts).get_viewer_url()
    print(f"{address}\nopen this address in a browser; Ctrl-C ends the viewer", flush=True)
    Event().wait()


@app.command(rich_help_panel=SEGMENT)
def evaluate(
    out: Out,
    settings: Settings,
    segmentation: Annotated[Path | None, typer.Option(help="a finished segmentation, OME-Zarr")] = None,
    ensemble: Annotated[Path | None, typer.Option(help="an ensemble's folder; needs --data")] = None,
    data: Annotated[Path | None, typer.Option(help="prepared images to score the ensemble on")] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="the results folder, to score the other strategies, the best network and the baselines as well"
        ),
    ] = None,
    before: Annotated[
        Path | None, typer.Option(help="the ensemble before its members were refitted, to score it as well")
    ] = None,
    threads: Threads = None,
) -> None:
    """Score a segmentation against labels, or an ensemble on prepared images."""
    from genenet.config.settings import EvaluateSettings, TestSettings, read_settings
    from genenet.core.atomic_files import write_json

    if segmentation:
        from genenet.segmentation.evaluation import evaluate_store

        labels = read_settings(settings, EvaluateSettings)
        write_json(out, evaluate_store(segmentation, labels.volume, labels.ignore_label, labels.labels))
    elif ensemble and data:
        from genenet.core.paths import ResultPaths
        from genenet.core.resources import threads_that_fit
        from genenet.ensembles.scoring import evaluate_ensemble, evaluate_others
        from genenet.networks.device import choose_device, set_threads

        wanted = read_settings(settings, TestSettings)
        set_threads(threads_that_fit(threads or wanted.threads))
        device = choose_device(wanted.device)
        found = evaluate_ensemble(ensemble, data, device)
        if results:
            others = evaluate_others(ResultPaths(results), before or ensemble, data, device)
            found = found.model_copy(update=vars(others))
        if before:
            former = evaluate_ensemble(before, data, device)
            found = found.model_copy(update={"before_refit": former.of_classes()})
        write_json(out, found.model_dump(mode="json"))
    else:
        raise InputError("give --segmentation, or --ensemble and --data")
