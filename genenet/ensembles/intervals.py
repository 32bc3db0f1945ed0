"""The intervals of an ensemble's lead, from the stored probabilities of the validation images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.geometry import Box, each
from genenet.core.random_streams import Stream
from genenet.ensembles.calibration import stored_means
from genenet.ensembles.claims import rivals_of
from genenet.ensembles.description import LeadInterval
from genenet.metrics.intervals import BlockTables, ImagePart, block_shape, interval
from genenet.volumes.region_names import file_and_region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.core.paths import ResultPaths
    from genenet.metrics.block_scores import BlockCounts
    from genenet.metrics.intervals import ConfidenceInterval
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared


def blocks_of(prepared: Prepared) -> BlockTables:
    """Return empty tables for the blocks of prepared images; parts of one file share the blocks of this file."""
    parts = parts_of(prepared)
    return BlockTables(len(prepared.classes), block_shape(parts), parts)


def parts_of(prepared: Prepared) -> list[ImagePart]:
    """Return where the images lie in their files, from the first voxel that one of them has there."""
    numbers: dict[str | int, int] = {}  # of a file with regions, or of the place of a whole image
    found = []
    for index, image in enumerate(prepared.images):
        file, region = file_and_region(image.name)
        number = numbers.setdefault(file if region else index, len(numbers))
        found.append(ImagePart(number, _box(region, image.volume.shape)))
    starts = {
        number: [part.box.start for part in found if part.whole == number] for number in numbers.values()
    }
    first = {number: each(min, zip(*of_file, strict=True)) for number, of_file in starts.items()}
    return [ImagePart(part.whole, part.box.relative_to(first[part.whole])) for part in found]


def _box(region: ImageRegion | None, shape: Triple) -> Box:
    """Return the box of an image in its file; regions are in the file's voxels, which may have been resampled."""
    if region is None:
        return Box.of_shape(shape)
    start = each(lambda ends, size: round(ends[0] * size / (ends[1] - ends[0])) if ends else 0, region, shape)
    return Box.of_shape(shape, start)


@dataclass(frozen=True)
class ValidationBlocks:
    """The validation images of a search, cut into blocks."""

    paths: ResultPaths
    prepared: Prepared

    def counted(self, members: Sequence[tuple[Outcome, float]], combination: str = "mean") -> BlockTables:
        """Return the contingency tables of the blocks, of trainings with their weights."""
        images = enumerate(self.prepared.images)
        places = [(index, z) for index, image in images for z in range(image.labels.shape[0])]
        found = blocks_of(self.prepared)
        predicted = stored_means(self.paths, members, self.prepared, combination)
        for (index, z), (truth, p) in zip(places, predicted, strict=True):
            found.add(index, z, truth, p.argmax(axis=0))
        return found


def random_draws() -> Generator:
    """Return the random numbers of intervals, the same ones each time."""
    return Generator(PCG64(SeedSequence(0, spawn_key=(Stream.INTERVALS,))))


def lead_intervals(
    validation: ValidationBlocks, ours: BlockTables, runs: Sequence[Outcome], metric: str
) -> list[LeadInterval]:
    """Return the intervals of an ensemble's lead over the best network, and over each baseline.

    Args:
        validation: the images.
        ours: the counts of the ensemble.
        runs: all trainings, best first.
        metric: of SELECTION_METRICS.
    """
    rng, found = random_draws(), []
    for title, seeds in rivals_of(runs):
        theirs = [validation.counted([(seed, 1.0)]).stacked() for seed in seeds]
        if between := interval(ours.stacked(), theirs, metric, rng):
            found.append(LeadInterval(against=title, **asdict(between)))
    return found


def paired_interval(
    ours: BlockCounts | None,
    theirs: Sequence[BlockCounts | None],
    metric: str,
    without: Sequence[BlockCounts] = (),
) -> ConfidenceInterval | None:
    """Return ``metrics.intervals.interval`` of stored counts; None if some are missing or are of other labels."""
    known = [each for each in theirs if each]
    if not ours or not known or len(known) < len(theirs):
        return None
    if not all(each.is_of_the_same_labels(ours) for each in (*known, *without)):
        return None
    tables, left_out = ([each.tables for each in of] for of in (known, without))
    return interval(ours.tables, tables, metric, random_draws(), left_out)
