"""What ``genenet init`` prints, 80 columns wide: sections with a blank line before each."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from genenet.core.choices import many
from genenet.core.geometry import by
from genenet.init.classes import counts_of
from genenet.init.config_text import count, resenc_text
from genenet.status.time_left import short
from genenet.volumes.grid import AXES, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from genenet.init.classes import Classes
    from genenet.init.further import Further
    from genenet.init.parts import Split
    from genenet.init.request import Request
    from genenet.init.search_cost import SearchCost
    from genenet.init.survey import Survey

WIDTH = 80
N_SHOWN = 8  # images of a part that are listed


def paragraph(text: str, indent: str = "") -> None:
    """Print a text in lines of 80 columns; words such as paths stay whole."""
    lines = textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    print("\n".join(lines))


def notes(texts: Sequence[str]) -> None:
    """Print a paragraph for each note."""
    if texts:
        print()
    for text in texts:
        paragraph(f"– {text}", "  ")


def images(survey: Survey) -> None:
    """Print what the images are."""
    table = _table("image", "voxels z × y × x", "type", "values", "nm z × y × x")
    looks = [*(seen.image for seen in survey.labelled), *survey.volumes]
    for seen in looks:
        size = size_text(seen.sizes_nm).replace("x", "×") if any(seen.sizes_nm) else "unknown"
        shape = by(seen.shape).replace("x", "×")
        table.add_row(_tail(seen.path), shape, str(seen.dtype), f"{seen.low:g} – {seen.high:g}", size)
    _print(table)
    notes(
        [f"{s.path}: a random sample of {count(s.n_read)} voxels was read" for s in looks if not s.is_whole]
    )


def classes_and_split(classes: Classes, survey: Survey, parts: Split) -> None:
    """Print the classes with their frequencies, in all labels and in the two parts or the folds; then the parts."""
    counts = counts_of(survey.labelled)
    ignored = classes.ignore_label
    n_ignored = counts.pop(ignored, 0) if ignored is not None else 0
    columns = (">folds with it",) if parts.folds else (">in training", ">in validation")
    table = _table("label", "class", ">voxels", ">share", *columns)
    for place, name in enumerate(classes.names):
        i = classes.first + place
        found = _in_parts(classes, parts, place)
        table.add_row(str(i), name, f"{counts[i]:,}", _percent(counts[i], counts.total()), *found)
    if ignored is not None:
        table.add_row(str(ignored), "(ignored)", f"{n_ignored:,}")
    print()
    _print(table)
    print()
    of_split = {"training": parts.train, "validation": parts.validation}
    for name, which in ({f"{parts.n_folds} folds": parts.train} if parts.folds else of_split).items():
        for part in which[:N_SHOWN]:
            ends = zip(AXES, part.region or (), strict=False)
            cut = "".join(f", {axis} from {i[0]} to {i[1]}" for axis, i in ends if i)
            paragraph(f"{name:<11} {part.look.image.path}{cut}: {by(part.shape)} voxels", " " * 12)
        if len(which) > N_SHOWN:
            print(f"{'':<11} and {len(which) - N_SHOWN} more")


def _in_parts(classes: Classes, parts: Split, place: int) -> list[str]:
    """Return the share of a class in both parts, or how many folds have it."""
    if parts.folds:
        n_with = int((parts.counts_of_folds(classes)[:, place] > 0).sum())
        return [f"{n_with} of {parts.n_folds}"]
    return [_percent(int(c[place]), int(c.sum())) for c in parts.counts(classes)]


def trial() -> None:
    """Print that the speed of a training is measured."""
    print()
    paragraph("Some networks are trained for a few seconds each, to measure the speed …")


def cost(found: SearchCost) -> None:
    """Print what the networks cost: the smallest, the median, the largest, and the baselines; then notes."""
    machine, sizes = found.machine, found.sizes
    print()
    paragraph(
        f"Networks for {machine.name}: {len(found.genomes)} genomes were drawn ({found.feasible:.0%} of the draws "
        f"fit the images; the others are drawn again). A training has {sizes.iterations:,} iterations with batches of "
        f"{sizes.batch_size}, in which the median network is taught {count(sizes.iterations * found.median.n_taught)} "
        "voxels."
    )
    table = _table("network", ">input", ">parameters", ">memory", ">taught per second", ">one training")
    for name, each in found.shown.items():
        measured = (
            (f"{count(round(found.taught_per_second(each)))} voxels", short(found.seconds(each)))
            if found.tried
            else ("not measured", "not measured")
        )
        memory = f"{each.memory_bytes / 1e6:,.0f} MB"
        table.add_row(name, str(each.input_size), f"{each.n_parameters:,}", memory, *measured)
    print()
    _print(table)
    on_resenc = [text] if (text := resenc_text(found)) else []
    notes([*on_resenc, *_times(found), *_refits(found), *_too_much_memory(found)])


def further(found: Further, request: Request) -> None:
    """Print which networks are trained further, and for how long."""
    print()
    paragraph(found.cost_text(request))


def _times(found: SearchCost) -> Iterator[str]:
    """Yield how long the whole search takes here, and as jobs of a cluster."""
    if found.untried:
        yield f"the time of a training was not measured: {found.untried}"
    if not found.tried:
        return
    times = [found.seconds(each) for each in found.all_trainings]
    at_once = min(found.machine.n_at_once, len(times))
    beside = f"{at_once} at a time" if at_once > 1 else "one after the other"
    here = max(sum(times) / at_once, max(times))
    baselines = "the U-Net" if len(found.baselines) == 1 else "both baselines"
    n_folds = found.sizes.n_folds
    folds = f", each in {n_folds} folds," * (n_folds > 1)
    yield f"all {found.sizes.n_genomes} genomes and {baselines}{folds} here, {beside}: about {short(here)}"
    if found.is_busy:
        yield "this machine is busy with other work, so these times are unreliable; try again later"
    usual = sorted(times)[len(times) // 2]
    yield (
        f"on a cluster, one job for each: {len(times)} jobs of about {short(usual)}, the longest "
        f"{short(max(times))}, on hardware like this"
    )


def _refits(found: SearchCost) -> Iterator[str]:
    """Yield what it costs to train the members again, or to have the networks of all folds as members."""
    n_folds = found.sizes.n_folds
    if n_folds > 1 and not found.n_refits:
        yield (
            f"a member of the ensemble is the {n_folds} networks of its folds, so that segmenting takes {n_folds} "
            "times as long as with one network that is trained on all images (ensemble.refit: true)"
        )
    if not found.n_refits:
        return
    images = "the validation images" if n_folds == 1 else "all labelled images, one network for each"
    seconds = found.refit_seconds / min(found.machine.n_at_once, found.n_refits) if found.tried else None
    yield (
        f"after the selection, the members, at most {found.n_refits}, are trained again with {images} "
        f"(ensemble.refit): up to {many(found.n_refits, 'more training')} without validations"
        + (f", each of {found.sizes.refit_iterations:,} iterations" if found.sizes.refit_iterations else "")
        + (f", about {short(seconds)} here" if seconds is not None else "")
    )


def _too_much_memory(found: SearchCost) -> Iterator[str]:
    machine = found.machine
    if found.needs_too_much_memory:
        yield (
            f"the largest training needs {found.largest_bytes / 1e9:.1f} GB, {machine.n_at_once} run at the same time, "
            f"and {machine.name} has {(machine.memory_bytes or 0) / 1e9:.1f} GB: lower "
            "search.regions.net.n_convkernels or input_size"
        )


def next_steps(out: Path, results: str) -> None:
    """Print the commands that come after."""
    run = f"snakemake --profile profiles/local{'' if str(out) == 'config.yaml' else f' --configfile {out}'}"
    print()
    paragraph(f"{out} was written. Read it, and correct it where necessary. Then run, in genenet's folder:")
    print(f"\n  genenet check {out}\n  {run} -n\n  {run}\n")
    paragraph(
        f"The second command lists the jobs, the third runs them; after an interruption, the same command continues. "
        f"The search ends with {results}/report.html. For a cluster, see docs/cluster.md."
    )


def _percent(part: int, whole: int) -> str:
    share = 100 * part / max(1, whole)
    return "none" if not part else f"{share:.1f} %" if share >= 0.1 else f"{share:.2g} %"


def _tail(path: Path, length: int = 24) -> str:
    text = str(path)
    return text if len(text) <= length else f"…{text[1 - length :]}"


def _table(*columns: str) -> Table:
    """Make a table; columns whose title begins with > are numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column[0] == ">" else "left")
    return table


def _print(table: Table) -> None:
    console = Console(width=WIDTH, highlight=False, file=sys.stdout)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
