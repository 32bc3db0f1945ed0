"""Commands for labelling: which boxes to label next, and corrected boxes as labels of their volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genenet.cli.commands import LABEL, Threads, app
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
from genenet.config.labelling import SuggestionSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.settings import ImageFiles
    from genenet.volumes.boxes import BoxRow


@app.command(rich_help_panel=LABEL)
@options_of(SuggestionSettings, leave_out={"n", "size"})
def suggest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="a segmentation (OME-Zarr), or a volume that isn't segmented yet: a file, or files to be stacked"
        ),
    ],
    ensemble: Annotated[Path, typer.Option(help="the ensemble's folder")],
    out: Annotated[Path, typer.Option("--out", help="the folder of boxes to write")],
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="number of boxes")] = 10,
    size: Annotated[str, typer.Option(help="voxels of a box along z, y, x")] = "16,256,256",
    image: Annotated[
        list[Path] | None,
        typer.Option(help="the image of a segmentation, if it isn't where it was; may be repeated"),
    ] = None,
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            help="what is labelled already: a folder of boxes, or an OME-Zarr that genenet corrections wrote; may be "
            "repeated"
        ),
    ] = None,
    region: Region = WHOLE,
    mask: Mask = None,
    flip: Flip = None,
    voxel_size: VoxelSize = None,
    threads: Threads = None,
    device: DeviceName = "auto",
    **suggestion: Any,
) -> None:
    """Suggest boxes of a volume for labelling: those that teach most, each with image, prediction and uncertainty.

    If the volume isn't segmented yet, it is segmented first; the same command continues after an interruption.
    """
    from genenet.config import texts
    from genenet.config.settings import ImageFiles
    from genenet.core.validation import validate

    options = {"n": n, "size": texts.read_option("size", size, texts.read_shape)}
    settings = validate(SuggestionSettings, given(SuggestionSettings, suggestion) | options, "suggest")
    values = volume_values(image or paths, region, mask, flip, voxel_size)
    source = validate(ImageFiles, values, "suggest")
    rows = _suggest(paths, source, bool(image), ensemble, out, settings, labelled or [], threads, device)
    _show_boxes(rows, out)


def _suggest(
    paths: list[Path],
    source: ImageFiles,
    is_moved: bool,
    ensemble: Path,
    out: Path,
    settings: SuggestionSettings,
    labelled: Sequence[Path],
    threads: int | None,
    device_name: str,
) -> list[BoxRow]:
    from genenet.cli.progress import show_blocks
    from genenet.core.atomic_files import remove
    from genenet.core.resources import keep_freed_memory, threads_that_fit
    from genenet.ensembles.ensemble import load_ensemble
    from genenet.labelling.labelled import labelled_boxes
    from genenet.labelling.segmented import Segmenting, segmented
    from genenet.labelling.suggestion import SuggestionJob, channel_of, check_new
    from genenet.networks.device import choose_device, set_threads

    check_new(out)
    known = labelled_boxes(labelled)
    keep_freed_memory()
    set_threads(threads_that_fit(threads))
    loaded, device = load_ensemble(ensemble), choose_device(device_name)
    own = out.with_name(f".{out.name}.segmentation.ome.zarr")  # hidden: it is removed at the end
    segmenting = Segmenting(loaded, device, own)
    channel = channel_of(settings.by, len(loaded.networks))
    with show_blocks("segmenting") as show:
        found = segmented(paths, source, is_moved, segmenting, channel, show)
    with show_blocks("scoring") as show:
        rows = SuggestionJob(found, loaded, settings, device, out, channel, known).run(show)
    remove(own)
    return rows


def _show_boxes(rows: Sequence[BoxRow], out: Path) -> None:
    """Print the boxes, and what to do with them."""
    for row in rows:
        print(f"{row.box}  z {row.z}, y {row.y}, x {row.x}  {row.reason}")
    print(
        f"{out}: correct the classes in box_*_labels.tif, write yes into the column reviewed of boxes.csv, and run "
        f"genenet corrections {out} --into corrections.ome.zarr"
    )


@app.command(rich_help_panel=LABEL)
def corrections(
    boxes: Annotated[Path, typer.Argument(help="a folder of boxes that genenet suggest wrote")],
    into: Annotated[
        Path, typer.Option("--into", help="the labels to write, OME-Zarr; boxes of earlier rounds are kept")
    ],
    reviewed: Annotated[
        str | None,
        typer.Option(
            help="boxes that a person has been through: all, or names such as box_01,box_03; default: those with yes "
            "in boxes.csv"
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="the search's config.yaml, whose ignore_label is written")
    ] = None,
    ignore_label: Annotated[
        int | None,
        typer.Option(help="label of voxels that aren't labelled; default: that of the config, or 255"),
    ] = None,
) -> None:
    """Make labels of a volume of the boxes that a person has corrected, and print the lines for config.yaml."""
    from genenet.labelling.corrections import Corrections, ignore_label_of

    ignored = ignore_label if ignore_label is not None else ignore_label_of(config, boxes)
    made = Corrections(boxes, into, reviewed, ignored)
    for line in made.run():
        print(line)
