"""Times of files that would mislead Snakemake, which makes a file again when an input of it is newer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths


def check_not_in_the_future(inputs: Iterable[Path], results: Path) -> None:
    """Check the times of input files against the clock of the file system that results go to.

    Whatever is made from a file of the future is older than it: it would be made again each time.

    Raises:
        InputError: If an input was last changed in the future.
    """
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=results) as file:
        now = os.stat(file.name).st_mtime
    late = {path: time for path in inputs if path.exists() and (time := path.stat().st_mtime) > now + 1}
    if late:
        first = next(iter(late))
        when = datetime.fromtimestamp(late[first]).isoformat(" ", "seconds")
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        raise InputError(
            f"{first}{more}: the file's time is in the future ({when}); give it today's: touch {first}"
        )


# of smaller inputs Snakemake compares the content, whatever their times (its --max-checksum-file-size)
COMPARED_BYTES = 1_000_000


def older_than_inputs(paths: ResultPaths, runs: Iterable[str]) -> list[str]:
    """Return those of the published trainings that are older than the prepared images, if these are large."""
    data = [Path(paths.data(split)) for split in ("train", "validation")]
    data += sorted((paths.results / "data/folds").glob("*/*.zarr.zip"))
    found = [path.stat() for path in data if path.exists()]
    newest = max((each.st_mtime for each in found if each.st_size > COMPARED_BYTES), default=0.0)
    scores = {run: paths.run(run).scores for run in runs}
    return [run for run, path in scores.items() if path.exists() and path.stat().st_mtime < newest]


def warn_of_old_trainings(paths: ResultPaths, runs: Iterable[str]) -> str:
    """Return one line about finished trainings that Snakemake is going to repeat; empty if there are none."""
    old = older_than_inputs(paths, runs)
    if not old:
        return ""
    return (
        f"{len(old)} finished trainings ({old[0]} …) are older than the prepared images and will be repeated. If only "
        "their times are wrong, as after a copy without times, stop this and run it once with --touch"
    )
