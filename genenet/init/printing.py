"""What ``genenet init`` prints: tables of 80 columns, notes and what to do next."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from genenet.core.geometry import by
from genenet.init.classes import counts_of
from genenet.init.split import AXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.table import Table

    from genenet.init.classes import Classes
    from genenet.init.sizes import Cost, Machine, Sizes
    from genenet.init.split import Split
    from genenet.init.survey import LabelledLook, Look
    from genenet.init.trial import Speed

WIDTH = 80


def say(text: str = "", indent: str = "") -> None:
    """Print a text, in lines of 80 columns."""
    lines = textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    print("\n".join(lines))


def say_notes(notes: Iterable[str]) -> None:
    """Print what is worth knowing, a paragraph for each."""
    for note in notes:
        say(f"– {note}", "  ")


def show_images(labelled: Sequence[LabelledLook], others: Sequence[Look]) -> None:
    """Print what the images are."""
    table = _table("image", "voxels z × y × x", "type", "values", "nm z × y × x")
    looks = [*(seen.image for seen in labelled), *others]
    for seen in looks:
        size = " × ".join(f"{n:g}" for n in seen.voxel_size_nm) if seen.voxel_size_nm else "not said"
        shape = by(seen.shape).replace("x", "×")
        table.add_row(_tail(seen.path), shape, str(seen.dtype), f"{seen.low:g} – {seen.high:g}", size)
    _print(table)
    for seen in looks:
        if not seen.is_whole:
            total = seen.shape[0] * seen.shape[1] * seen.shape[2]
            say_notes(
                [
                    f"{seen.path}: {_si(seen.n_looked)} of its {_si(total)} voxels were looked at, drawn at random"
                ]
            )


def show_classes(classes: Classes, labelled: Sequence[LabelledLook], parts: Split) -> None:
    """Print the classes with their frequencies, in all labels and in the two parts."""
    counts = counts_of(labelled)
    of = [parts.counts(name) for name in ("train", "validation")]
    total = max(1, sum(n for i, n in counts.items() if i != classes.ignore_label))
    table = _table("label", "class", ">voxels", ">share", ">in training", ">in validation")
    for i, name in enumerate(classes.names):
        shares = (_percent(int(c[i]), int(c[: len(classes.names)].sum())) for c in of)
        table.add_row(str(i), name, f"{counts.get(i, 0):,}", _percent(counts.get(i, 0), total), *shares)
    if classes.ignore_label is not None:
        table.add_row(str(classes.ignore_label), "(ignored)", f"{counts.get(classes.ignore_label, 0):,}")
    _print(table)


def show_split(parts: Split) -> None:
    """Print what is learnt from, and what judges."""
    for name, which in (("training", parts.train), ("validation", parts.validation)):
        for part in which[:8]:
            ends = zip(AXES, part.region or (), strict=False)
            cut = "".join(f", {axis} from {i[0]} to {i[1]}" for axis, i in ends if i)
            say(f"{name:<11} {part.look.image.path}{cut}: {by(part.shape)} voxels", " " * 12)
        if len(which) > 8:
            say(f"{'':<11} and {len(which) - 8} more")


def show_cost(
    costs: Sequence[Cost], baseline: Cost, sizes: Sizes, n_validation: int, speed: Speed | None
) -> None:
    """Print what the networks cost: the smallest, the median, the largest, and the U-Net."""
    in_order = sorted(costs, key=lambda cost: cost.flops)
    middle = in_order[len(in_order) // 2]
    table = _table("network", ">input", ">parameters", ">memory", ">time of one training")
    rows = {"smallest": in_order[0], "median": middle, "largest": in_order[-1], "U-Net 2015": baseline}
    for name, cost in rows.items():
        time = (
            duration(speed.seconds(sizes, n_validation, cost.flops / middle.flops)) if speed else "not tried"
        )
        table.add_row(
            name, str(cost.input_size), f"{cost.n_parameters:,}", f"{cost.memory_bytes / 1e6:,.0f} MB", time
        )
    _print(table)


def total_lines(
    costs: Sequence[Cost], baseline: Cost, sizes: Sizes, n_validation: int, machine: Machine, speed: Speed
) -> Iterator[str]:
    """Yield how long the whole search takes here, and a job of a cluster."""
    middle = sorted(cost.flops for cost in costs)[len(costs) // 2]
    own = [*costs[: sizes.n_genomes], baseline]
    times = [speed.seconds(sizes, n_validation, cost.flops / middle) for cost in own]
    at_once = min(machine.n_at_once, len(times))
    beside = f"{at_once} at a time" if at_once > 1 else "one after the other"
    here = max(sum(times) / at_once, max(times))
    yield f"all {sizes.n_genomes} genomes and the U-Net here, {beside}: about {duration(here)}"
    if speed.is_busy:
        yield "this machine is busy with other things, so all will take longer; a calm hour says it better"
    usual = duration(sorted(times)[len(times) // 2])
    yield (
        f"on a cluster, one job for each: {len(times)} jobs of about {usual}, the longest {duration(max(times))}, on "
        "hardware like this"
    )


def duration(seconds: float) -> str:
    """Write a time for people, with two digits at most."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            n = seconds / length
            return f"{n:.1f} {unit}" if n < 10 and unit != "min" else f"{n:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"


def next_steps(out: Path, results: str) -> None:
    """Print the commands that come after."""
    which = "" if str(out) == "config.yaml" else f" --configfile {out}"
    run = f"snakemake --profile profiles/local{which}"
    say(f"{out} is written: read it, and change what you know better. Then, in the folder of genenet:")
    print(f"\n  genenet check {out}\n  {run} -n\n  {run}\n")
    say(
        f"The second shows what would be done, the third does it; interrupted, it goes on when it is run again. It "
        f"ends with {results}/report.html. On a cluster: docs/cluster.md."
    )


def _percent(part: int, whole: int) -> str:
    share = 100 * part / max(1, whole)
    return "none" if not part else f"{share:.1f} %" if share >= 0.1 else f"{share:.2g} %"


def _si(n: int) -> str:
    return f"{n / 1e6:,.0f} million" if n >= 1e6 else f"{n:,}"


def _tail(path: Path, length: int = 24) -> str:
    text = str(path)
    return text if len(text) <= length else f"…{text[1 - length :]}"


def _table(*columns: str) -> Table:
    """Make a table; columns whose title begins with > are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column[0] == ">" else "left")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console(width=WIDTH, highlight=False, file=sys.stdout)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
