"""Progress: a bar in a terminal, plain lines in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genenet.core.geometry import Box
    from genenet.segmentation.receipts import Receipt
    from genenet.training.trainer import Trainer

STAGES = ("read", "normalise", "compute", "combine", "write")  # of a segmentation, in their order
QUIET_SECONDS = 20.0  # between two lines of a log, unless one has news


@contextmanager
def show_training(name: str) -> Iterator[Callable[[Trainer], None]]:
    """Give a function to call after each iteration."""
    with _reporter(name) as report:
        n_rows = -1

        def show(trainer: Trainer) -> None:
            nonlocal n_rows
            done, all_ = trainer.iteration, trainer.settings.iterations
            news = len(trainer.history) > n_rows >= 0
            n_rows = len(trainer.history)
            text = f"ARI {trainer.history[-1].validation_ari:.3f}" if trainer.history else "ARI -"
            if not trainer.validation:  # all images are trained on
                loss = trainer.history[-1].training_loss if trainer.history else math.nan
                text = "loss -" if math.isnan(loss) else f"loss {loss:.3f}"
            rate = done / trainer.seconds if trainer.seconds else 0.0
            report(done, all_, f"{text}  {rate:.1f} iterations/s", news)

        yield show


@contextmanager
def show_blocks(name: str) -> Iterator[Callable[[int, int, Box], None]]:
    """Give a function to call after each block."""
    began, voxels = time.monotonic(), 0
    with _reporter(name) as report:

        def show(done: int, all_: int, block: Box) -> None:
            nonlocal voxels
            voxels += block.n_voxels
            rate = voxels / (time.monotonic() - began) / 1e6
            report(done, all_, f"{rate:.2f} million voxels/s", done == all_)

        yield show


@contextmanager
def show_steps(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call after each step with how many are done, and of how many."""
    with _reporter(name) as report:
        yield lambda done, all_: report(done, all_, "", done == all_)


def show_receipt(receipt: Receipt) -> None:
    """Print how fast a part was segmented, how much of the computing was halo, and where the time went."""
    seconds, voxels = receipt.seconds_computing, receipt.voxels_written
    if voxels:
        print(
            f"{voxels / 1e6:.1f} million voxels in {seconds:.1f} s, {voxels / max(seconds, 1e-9) / 1e6:.2f} million/s; "
            f"{receipt.voxels_computed_for_each:.2f} voxels computed for each voxel written",
            file=sys.stderr,
        )
        print(f"seconds of a core: {stages_text(receipt.seconds_by_stage)}", file=sys.stderr)


def stages_text(seconds: Mapping[str, float]) -> str:
    """Write the seconds of stages in the order in which a voxel passes them: ``read 0.4, compute 25.1, write 0.9``."""
    order = [*STAGES, *(stage for stage in seconds if stage not in STAGES)]
    return ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in order if stage in seconds)


@contextmanager
def _reporter(name: str) -> Iterator[Callable[[int, int, str, bool], None]]:
    """Give ``report(done, all, text, is_news)``: a bar if standard error is a terminal, otherwise lines."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, all_, text, _: bar.update(task, completed=done, total=all_, description=text)
        return
    last = time.monotonic()

    def line(done: int, all_: int, text: str, is_news: bool) -> None:
        nonlocal last
        if is_news or time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            print(f"{name:<12} {done:>{len(str(all_))}}/{all_}  {text}", file=sys.stderr, flush=True)

    yield line
