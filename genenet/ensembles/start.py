"""What a search starts from (``training.start``): the networks of a finished search, or the members of an ensemble.

``start.json`` lists them with checksums, as ``rounds/r0.json`` does for the parents of an evolution. A training looks
up its genome there, and begins with the weights of that network.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, NonNegativeInt

from genenet.config.start import DESCRIPTION, ensemble_folder, is_ensemble
from genenet.core.atomic_files import read_json, write_json
from genenet.core.choices import many
from genenet.core.contents import file_checksum
from genenet.core.errors import InputError
from genenet.core.geometry import regions_meet
from genenet.core.models import Closed
from genenet.core.outputs import ObjectClass, Outputs, other_classes
from genenet.core.paths import ResultPaths, fold_run, of_fold
from genenet.core.validation import validate
from genenet.ensembles.description import read_description
from genenet.ensembles.ensemble import GENOME, WEIGHTS
from genenet.ensembles.label_rounds import LabelRound, round_of
from genenet.ensembles.ranking import rows
from genenet.genes.genome import read_genome
from genenet.training.parent import Origin, Parent
from genenet.training.scores import read_scores
from genenet.volumes.region_names import file_and_region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.config.model import Config
    from genenet.ensembles.description import EnsembleDescription
    from genenet.genes.genome import Genome

log = logging.getLogger(__name__)


class StartNetwork(Closed):
    """A network that a training can begin with.

    Attributes:
        run: the name of its training, that of a fold if there were folds.
        genome: the id of its genome.
        genome_file: of its genome.
        weights: the file of its weights.
        checksum: SHA-256 of the weights.
        iterations: that they were trained for; None if it isn't known, as in an ensemble's folder.
    """

    run: str
    genome: str
    genome_file: Path
    weights: Path
    checksum: str
    iterations: NonNegativeInt | None = None


class StartFile(Closed):
    """``start.json``.

    Attributes:
        folder: the results of a search, or an ensemble.
        classes: of its networks.
        objects: the classes whose objects its networks tell apart.
        learned_from: names of the images that its networks were trained on, as far as they are known.
        members: runs of the members of the ensemble, best first.
        networks: of the search, best first; of an ensemble, its members.
        rounds: of labelling, up to this folder's.
    """

    format: Literal["genenet.start/1"] = "genenet.start/1"
    folder: Path
    classes: list[str] = Field(min_length=1)
    objects: list[ObjectClass] = Field(default_factory=list)
    learned_from: list[str] = Field(default_factory=list)
    members: list[str]
    networks: list[StartNetwork] = Field(min_length=1)
    rounds: list[LabelRound] = Field(default_factory=list)

    @property
    def outputs(self) -> Outputs:
        """What the outputs of the networks mean."""
        return Outputs(self.classes, self.objects)

    def seen(self, images: list[str]) -> list[str]:
        """Return which of these images, by name, overlap with images that the networks have learned from."""
        return [name for name in images if any(_overlap(name, known) for known in self.learned_from)]

    def network_of(self, run: str, genome: str) -> StartNetwork | None:
        """Return the network of a genome for a training; None if there is none.

        Of several, a training takes that of its own name, then the best one, and in a fold that of the same fold.
        """
        whole, fold = of_fold(run)

        def order(network: StartNetwork) -> tuple[bool, bool]:
            other, other_fold = of_fold(network.run)
            return other != whole, other_fold is not None and other_fold != fold

        return min((each for each in self.networks if each.genome == genome), key=order, default=None)


def _overlap(a: str, b: str) -> bool:
    """Whether two images have voxels in common, by their names."""
    (file_a, region_a), (file_b, region_b) = file_and_region(a), file_and_region(b)
    return file_a == file_b and regions_meet(region_a, region_b)


def find_start(folder: Path) -> StartFile:
    """Find the networks of a finished search, or the members of an ensemble.

    Of a search, these are the networks that validation has scored, also where the ensemble has members that were
    trained anew on all images (``ensemble.refit``): those would have learned from the validation images.

    Raises:
        InputError: If there is no such search, if it is unfinished, or if another version of genenet wrote it.
    """
    ensemble = ensemble_folder(folder)
    with _of_this_version():
        description = read_description(ensemble / DESCRIPTION)
        of_ensemble = is_ensemble(folder)
        networks = _members(folder, description) if of_ensemble else _trained(ResultPaths(folder))
        return StartFile(
            folder=folder,
            classes=description.classes,
            objects=description.objects,
            learned_from=_learned_from(description, of_ensemble),
            members=description.runs,
            networks=list(networks),
            rounds=[*_earlier_rounds(folder), round_of(folder)],
        )


def _earlier_rounds(folder: Path) -> list[LabelRound]:
    """Return the rounds of labelling before that of a folder."""
    path = Path(ResultPaths(folder).start)
    return read_start(path).rounds if path.exists() else []


@contextmanager
def _of_this_version() -> Iterator[None]:
    """Add to the error about a key that isn't known that another version of genenet may have written the file."""
    try:
        yield
    except InputError as error:
        text = str(error).splitlines()[0]
        if "unknown key" not in text:
            raise
        raise InputError(f"{text}; another version may have written this file") from None


def _learned_from(description: EnsembleDescription, of_ensemble: bool) -> list[str]:
    """Return the names of the images that the networks were trained on."""
    names = [image.name for image in description.reference.images] if description.reference else []
    if description.n_folds or (of_ensemble and description.refit and description.refit.refitted):
        return names
    return [name for name in names if name not in description.selected_on]


def _members(folder: Path, description: EnsembleDescription) -> Iterator[StartNetwork]:
    for member in description.members:
        place = folder / member.folder
        yield _network(member.run, place / GENOME, place / WEIGHTS, None)


def _trained(paths: ResultPaths) -> Iterator[StartNetwork]:
    """Yield the networks of a search, best first; with folds, those of each fold."""
    for row in rows(Path(paths.ranking)):
        if row["status"] != "ok":
            continue
        scores = read_scores(paths.run(row["run"]).scores)
        for run in [fold_run(row["run"], fold) for fold in range(scores.folds or 0)] or [row["run"]]:
            iterations = scores.iterations_of_weights
            yield _network(run, Path(paths.genome(run)), paths.run(run).weights, iterations)


def _network(run: str, genome: Path, weights: Path, iterations: int | None) -> StartNetwork:
    if not weights.exists():
        raise InputError(
            f"{weights}: no such file; a search can't start from {run} without its weights, restore them"
        )
    return StartNetwork(
        run=run,
        genome=read_genome(genome).id,
        genome_file=genome,
        weights=weights,
        checksum=file_checksum(weights),
        iterations=iterations,
    )


def write_start(folder: Path, out: Path) -> None:
    """Write ``start.json`` of what is in a folder; raises InputError as ``find_start`` does."""
    found = find_start(folder)
    log.info("%s: %d networks, %d members", folder, len(found.networks), len(found.members))
    write_json(out, found.model_dump(mode="json"))


def read_start(path: Path) -> StartFile:
    """Read a ``start.json``; raises InputError if it is missing, or isn't one."""
    return validate(StartFile, read_json(path), str(path))


def start_of(paths: ResultPaths, run: str, genome: Genome) -> Parent | None:
    """Return the network with whose weights a training begins; None if the start has none of its genome.

    Args:
        paths: of the search that starts from another.
        run: the name of the training.
        genome: that is trained.

    Raises:
        InputError: If ``start.json`` can't be read.
    """
    path = Path(paths.start)
    start = read_start(path)
    found = start.network_of(run, genome.id)
    if found is None:
        log.info("%s has no network of this genome; it begins with random weights", start.folder)
        return None
    origin = Origin(start.folder, start.outputs, found.iterations, start.seen)
    return Parent(found.run, read_genome(found.genome_file), found.weights, found.checksum, path, origin)


def member_genome(path: Path, index: int, name: str) -> Genome:
    """Return the genome of a member of the ensemble that a search starts from, under another name.

    Args:
        path: of ``start.json``.
        index: of the member, the best is 0.
        name: of the genome in this search.

    Raises:
        InputError: If the file can't be read, or the ensemble has too few members.
    """
    start = read_start(path)
    if index >= len(start.members):
        raise too_few_members(start, index + 1)
    run = start.members[index]
    found = next(each for each in start.networks if of_fold(each.run)[0] == run)
    genome = read_genome(found.genome_file)
    return type(genome)(name, genome.deltas, genome.seed, genome.parents)


def too_few_members(start: StartFile, wanted: int) -> InputError:
    """Return the error that a search is to have more genomes than the ensemble has members."""
    return InputError(
        f"search.n_genomes: is {wanted} or more, but the ensemble of {start.folder} has "
        f"{many(len(start.members), 'member')}; leave n_genomes out, or lower it"
    )


def start_lines(config: Config) -> list[str]:
    """Return what a config starts from, for ``genenet check``; no line if it starts from nothing.

    Raises:
        InputError: As ``find_start``, or if the ensemble has fewer members than the config asks for.
    """
    if config.start is None:
        return []
    start, wanted = find_start(config.start), sum(config.search.n_by_round)
    if config.search.members and wanted > len(start.members):
        raise too_few_members(start, wanted)
    counted = f"{many(len(start.networks), 'network')}, {many(len(start.members), 'member')} of the ensemble"
    other = other_classes(start.outputs, config.data.outputs)
    return [f"start: {start.folder}: {counted}{f'; {other}' if other else ''}"]
