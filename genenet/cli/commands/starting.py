"""Commands for the start of a search: from images to a config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from genenet.cli.commands import FIRST_STEPS, app
from genenet.volumes.formats import format_names

Files = Annotated[
    list[Path] | None,
    typer.Option(help=f"a labelled image: {format_names()}, or a folder of slices; again for more"),
]


@app.command(rich_help_panel=FIRST_STEPS)
def init(
    image: Files = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="its class ids, an integer image of the same shape; one for each --image"),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="an integer image that is 0 where the image doesn't count; one for each --image, or the word none"
        ),
    ] = None,
    validation_image: Annotated[
        list[Path] | None,
        typer.Option(help="judges the networks; by default the last --image, or a region of the only one"),
    ] = None,
    validation_labels: Annotated[list[Path] | None, typer.Option(help="its class ids")] = None,
    validation_mask: Annotated[
        list[Path] | None, typer.Option(help="its mask; one for each --validation-image, or the word none")
    ] = None,
    segment: Annotated[
        list[Path] | None,
        typer.Option(help="a volume for the ensemble to segment; by default the last image"),
    ] = None,
    segment_mask: Annotated[
        list[Path] | None, typer.Option(help="its mask; one for each --segment, or the word none")
    ] = None,
    flip: Annotated[
        str | None,
        typer.Option(
            help="axes along which MRC files beside others are mirrored: y if IMOD or Fiji saved the others, or none"
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="names by label id, from 0 on, such as background,cell,mitochondrion")
    ] = None,
    ignore_label: Annotated[
        int | None,
        typer.Option(
            help="label that means 'not labelled', such as 255, -1, or 0 (the first class is label 1 then); by default "
            "255 or -1, if it occurs beside two classes"
        ),
    ] = None,
    voxel_size: Annotated[
        str | None, typer.Option(help="in nm along z, y, x, such as 40x10x10; by default what the files say")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; by default config.yaml")] = None,
    genomes: Annotated[int | None, typer.Option(min=1, help="networks to draw and train")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="of each training")] = None,
    device: Annotated[
        Literal["gpu", "cpu"] | None,
        typer.Option(
            help="what trainings will run on; by default a GPU, if one is here or on the Slurm cluster"
        ),
    ] = None,
    trial: Annotated[bool, typer.Option(help="train some seconds, to say how long it takes")] = True,
    force: Annotated[bool, typer.Option("--force", help="replace the file, if it is there")] = False,
) -> None:
    """Look at images and labels, and write a config.yaml for them: asks for what isn't given.

    Says what the classes are, how often each occurs, what a search costs, and what is wrong with the images.
    """
    from genenet.init.request import Request, read_flip, read_names, read_voxel_size
    from genenet.init.wizard import start

    start(
        Request(
            image=image or [],
            labels=labels or [],
            mask=mask or [],
            validation_image=validation_image or [],
            validation_labels=validation_labels or [],
            validation_mask=validation_mask or [],
            segment=segment or [],
            segment_mask=segment_mask or [],
            flip=read_flip(flip) if flip else None,
            classes=read_names(classes) if classes else None,
            ignore_label=ignore_label,
            voxel_size=read_voxel_size(voxel_size) if voxel_size else None,
            out=out,
            genomes=genomes,
            iterations=iterations,
            device=device,
            trial=trial,
            force=force,
        )
    )
