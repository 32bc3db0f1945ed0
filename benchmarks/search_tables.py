"""The ARI of every ensemble of up to four of the recorded networks, as tables that ``search.py replay`` reads.

``benchmarks/data/search_DATA.json`` describes the recording, ``.csv`` holds the curves, ``.npz`` the tables. All
validation voxels count. An ARI is stored in steps of 1/20 000, so it is accurate to 0.000025.
"""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from genenet.core.atomic_files import atomic_path, write_csv, write_json
from genenet.core.errors import InputError
from search_curves import N_VALIDATIONS, Recording, read_folder, truth

FOLDER = Path(__file__).parent / "data"
STEPS = 20_000
SIZES = {"pairs": 2, "triples": 3, "quadruples": 4}
CLASS_STEPS = 8  # an encoded probability is a multiple of this; the rest encodes its class


@dataclass(frozen=True)
class Ensembles:
    """The ARI of each ensemble of fully trained genomes.

    Attributes:
        members: place of each such genome, by its number.
        tables: by the size of the ensemble, the ARIs in steps of 1/``STEPS``, in the order of ``rank``.
    """

    members: dict[int, int]
    tables: dict[int, np.ndarray]

    def ari(self, genomes):
        """Return the ARI of an ensemble of two to four genomes."""
        places = sorted(self.members[g] for g in genomes)
        return float(self.tables[len(places)][rank(places)]) / STEPS


def rank(places):
    """Return the number of an ascending combination among all of its size (combinatorial number system)."""
    return sum(math.comb(place, k) for k, place in enumerate(places, 1))


@dataclass(frozen=True)
class Pool:
    """Recorded genomes, by number.

    Attributes:
        curves: ARI of each validation; fewer than ``n_validations`` if the training diverged.
        seconds: processor time up to each validation.
        interval: iterations between two validations.
        n_validations: number of validations of a full training.
        ensembles: an object whose ``ari(genomes)`` is the ARI of an ensemble of full trainings.
        genomes: drawn again; none if only their curves are known.
    """

    curves: list[np.ndarray]
    seconds: list[np.ndarray]
    interval: int
    n_validations: int
    ensembles: object
    genomes: list = field(default_factory=list)

    def final(self, genome):
        """Return the ARI of a full training's best weights; None if it diverged."""
        curve = self.curves[genome]
        return float(curve.max()) if len(curve) == self.n_validations else None

    def ensemble(self, genomes):
        """Return the ARI of the mean of full trainings' best weights."""
        return self.final(genomes[0]) if len(genomes) == 1 else self.ensembles.ari(genomes)


def encode(levels):
    """Return probabilities (C, V) in 255 levels as uint16 whose three lowest bits are free for the class."""
    return levels.astype(np.uint16) * CLASS_STEPS


class Scorer:
    """Scores sums of encoded probabilities whose voxels are in the order of their true class.

    ::

        15            3 2   0
        | sum of p      | C - 1 - class |     4 × 255 × 8 + 7 fits into 16 bits

    The maximum over classes of such numbers holds its class. The class is stored reversed, so that of equal sums the
    first class wins, as in genenet.
    """

    def __init__(self, truth, n_classes):
        """Sort the voxels by true class; ``order`` holds their former places."""
        self.order = np.argsort(truth, kind="stable")
        bounds = np.searchsorted(truth[self.order], np.arange(n_classes + 1))
        self.segments = [slice(a, b) for a, b in pairwise(bounds)]
        self.classes = (n_classes - 1 - np.arange(n_classes, dtype=np.uint16))[:, None]
        self.n_classes = n_classes

    def table(self, total):
        """Return the contingency table (C, C) of a sum (C, V) to which ``classes`` was added."""
        found = (np.maximum.reduce(total, axis=0) & (CLASS_STEPS - 1)).astype(np.uint8)
        counts = np.empty((self.n_classes, self.n_classes), np.int64)
        for given in range(self.n_classes):
            is_given = found == self.n_classes - 1 - given
            counts[:, given] = [np.count_nonzero(is_given[segment]) for segment in self.segments]
        return counts


def ari_of(tables):
    """Return the ARI of contingency tables (..., C, C), as genenet.metrics.contingency computes it for one."""
    tables = tables.astype(np.float64)
    counts = tables.reshape(*tables.shape[:-2], -1), tables.sum(axis=-1), tables.sum(axis=-2)
    both, true, given = ((n * (n - 1)).sum(axis=-1) / 2 for n in counts)
    n_voxels = tables.sum(axis=(-2, -1))
    everything = n_voxels * (n_voxels - 1) / 2
    expected = true * given / everything
    return (both - expected) / ((true + given) / 2 - expected)


def ensembles_with(first, networks, scorer):
    """Return {size: ARIs} of all ensembles whose lowest place is ``first``, in the order of ``combinations``."""
    found = {size: [] for size in range(1, 5)}
    sums = {size: np.empty_like(networks[first]) for size in found}  # of the members so far

    def extend(last, size):
        found[size].append(scorer.table(sums[size]))
        if size < 4:
            for place in range(last + 1, len(networks)):
                np.add(sums[size], networks[place], out=sums[size + 1])
                extend(place, size + 1)

    np.add(networks[first], scorer.classes, out=sums[1])
    extend(first, 1)
    return {size: ari_of(np.array(tables)) if tables else np.empty(0) for size, tables in found.items()}


_shared = {}  # networks and scorer of a process of the pool: they are too large to be sent with each task


def _ensembles_with(first):
    return ensembles_with(first, **_shared)


def all_ensembles(probabilities, truth, n_classes, processes=1):
    """Return {size: ARIs in the order of ``rank``} of all ensembles of one to four of the networks.

    Args:
        probabilities: those of each network, (C, V) in 255 levels.
        truth: class ids, (V,).
        n_classes: C, at most 8.
        processes: number of processes.
    """
    scorer = Scorer(truth, n_classes)
    networks = [np.ascontiguousarray(encode(p)[:, scorer.order]) for p in probabilities]
    n = len(networks)
    shared = {"networks": networks, "scorer": scorer}
    with ProcessPoolExecutor(processes, initializer=_shared.update, initargs=(shared,)) as pool:
        parts = list(pool.map(_ensembles_with, range(n)))
    tables = {}
    for size in range(1, 5):
        values = np.concatenate([part[size] for part in parts])
        tables[size] = np.empty(len(values))
        tables[size][[rank(places) for places in combinations(range(n), size)]] = values
    return tables


def write(data, description, genomes, members, tables, folder):
    """Write the three files of a data set."""
    stem = folder / f"search_{data}"
    write_json(stem.with_suffix(".json"), description | {"genomes": [g["description"] for g in genomes]})
    rows = [
        (g["description"]["genome"], iteration, f"{ari:.6f}", f"{seconds:.2f}")
        for g in genomes
        for iteration, ari, seconds in zip(g["iteration"], g["ari"], g["seconds"], strict=True)
    ]
    write_csv(stem.with_suffix(".csv"), ("genome", "iteration", "validation_ari", "processor_seconds"), rows)
    arrays = {name: np.rint(tables[size] * STEPS).astype(np.int16) for name, size in SIZES.items()}
    with atomic_path(stem.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, members=np.array(members, np.int16), **arrays)


def read(data, folder=FOLDER):
    """Return a data set's pool."""
    stem = folder / f"search_{data}"
    description = json.loads(stem.with_suffix(".json").read_text())
    n_genomes = len(description["genomes"])
    rows = np.genfromtxt(stem.with_suffix(".csv"), delimiter=",", names=True)
    of_genomes = [rows[rows["genome"] == genome] for genome in range(n_genomes)]
    with np.load(stem.with_suffix(".npz")) as arrays:
        members = {int(genome): place for place, genome in enumerate(arrays["members"])}
        tables = {size: arrays[name] for name, size in SIZES.items()}
    n_validations = description["n_validations"]
    return Pool(
        [of["validation_ari"] for of in of_genomes],
        [of["processor_seconds"] for of in of_genomes],
        description["recording"]["iterations"] // n_validations,
        n_validations,
        Ensembles(members, tables),
        _drawn_again(description),
    )


def _drawn_again(description):
    """Return the genomes of a recording; none if they can't be drawn as they were.

    A test's recording has no regions; a genome's id must be that of the recording, or the seeds mean other genomes now.
    """
    recording = description.get("recording", {})
    if "data" not in recording:
        return []
    recording = Recording(**recording)
    genomes = [recording.genome(index) for index in range(len(description["genomes"]))]
    for genome, recorded in zip(genomes, description["genomes"], strict=True):
        if recorded["id"] not in genome.ids:
            raise InputError(
                f"genome {recorded['genome']} is no longer drawn as {recorded['id']}: record anew"
            )
    return genomes


def tabulate(data, work, processes, folder=FOLDER):
    """Make the files of a data set in ``folder`` from those that ``record`` wrote into ``work``.

    Raises:
        InputError: If genomes are missing between others.
    """
    description, files = read_folder(work)
    if [index for index, _ in files] != list(range(len(files))):
        raise InputError(f"{work}: the recording has gaps; finish it first (search.py record)")
    genomes = [_genome(index, file) for index, file in files]
    ok = [(index, file["probabilities"]) for index, file in files if str(file["status"]) == "ok"]
    labels, n_classes = truth(data)
    tables = all_ensembles([p for _, p in ok], labels, n_classes, processes)
    for (index, _), ari in zip(ok, tables[1], strict=True):
        best = genomes[index]["ari"].max()
        if abs(best - ari) > 1e-9:  # the stored probabilities aren't those of the curve
            raise ValueError(f"genome {index}: ARI {ari} of the probabilities, {best} of the curve")
    description |= {"n_validations": N_VALIDATIONS, "n_voxels": len(labels), "n_classes": n_classes}
    write(data, description, genomes, [index for index, _ in ok], tables, folder)


def _genome(index, file):
    texts = {"id": str(file["id"]), "n_parameters": int(file["n_parameters"]), "status": str(file["status"])}
    curve = {name: file[name] for name in ("iteration", "ari", "seconds")}
    return {"description": {"genome": index, **texts}, **curve}
