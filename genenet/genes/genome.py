"""A genome: a gene graph written down as one JSON file. Check, read, write."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError, naming
from genenet.core.validation import validate
from genenet.genes.domains import Number
from genenet.genes.gene_graph import Deltas, Gene, NetGene, grow
from genenet.genes.hyperparameters import HYPERPARAMETERS, hyperparameter, settable, shown
from genenet.genes.prediction import PredictedScore
from genenet.genes.version_1 import FORMAT_1, from_version_1, to_version_1

FORMAT = "genenet.genome/2"
MOST_BYTES = 2**20  # of a file; a genome with all deltas of the largest gene graph has a fifth of it


@dataclass(frozen=True)
class Genome:
    """Deltas by the path of their gene; absent ones are 0, at the root the default.

    Attributes:
        name: for people; two genomes are the same if their ids are.
        deltas: by path of the gene, then by hyperparameter.
        seed: of the search that drew the genome; None if none did.
        parents: the ids of a child's parents.
        round: of the search that bred a child; None for other genomes.
        prediction: the score that a surrogate model expected of it; None if none did.
        net: the root of the gene graph: ``net.value("n_stacks")``.

    Raises:
        InputError: On construction, for an unknown path or hyperparameter or a value outside its domain.
    """

    name: str
    deltas: Mapping[str, Deltas]
    seed: int | None = None
    parents: tuple[str, ...] = ()
    round: int | None = None
    prediction: PredictedScore | None = None
    net: NetGene = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        deltas = {path: _numbers(path, values) for path, values in self.deltas.items()}
        # checked gene by gene while the tree grows, since a gene's values decide which children it has
        net = grow(lambda gene: _checked(gene, deltas.get(gene.path, {})))
        _check_paths(net, deltas)
        object.__setattr__(self, "deltas", _without_zeros(deltas))  # the dataclass is frozen
        object.__setattr__(self, "net", net)

    @cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the deltas as canonical JSON.

        Values of the root that equal the default are left out, so a new hyperparameter changes no id.
        """
        return _hash(_without_defaults(self.deltas))

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id, and the one by which weights of version 0.1 name this genome."""
        old = to_version_1(self.deltas)
        return (self.id,) if old is None else (self.id, _hash(old))

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {
            "format": FORMAT,
            "name": self.name,
            "seed": self.seed,
            "parents": list(self.parents),
            **({} if self.round is None else {"round": self.round}),
            **({} if self.prediction is None else {"prediction": self.prediction.model_dump()}),
            "deltas": {path: dict(values) for path, values in self.deltas.items()},
        }

    def write(self, path: str | Path) -> None:
        """Write the JSON file."""
        write_json(Path(path), self.to_json())


def read_genome(path: str | Path) -> Genome:
    """Read and check a genome file.

    Raises:
        InputError: If the file isn't a genome, or describes something that can't be built.
    """
    with naming(path):
        return genome_from_json(read_json(Path(path), MOST_BYTES))


def genome_from_json(value: Any) -> Genome:
    """Make a genome from parsed JSON; raises InputError."""
    if not isinstance(value, dict) or value.get("format") not in (FORMAT, FORMAT_1):
        found = value.get("format") if isinstance(value, dict) else value
        raise InputError(f'format is {shown(found)}; a genome has "format": "{FORMAT}"')
    unknown = set(value) - {"format", *_FIELDS}
    if unknown:
        raise InputError(f"{min(unknown)[:60]}: unknown key; known are format, {', '.join(_FIELDS)}")
    name, deltas, seed, parents, round_, predicted = (value.get(k, d) for k, d in _FIELDS.items())
    if not isinstance(name, str) or not isinstance(deltas, dict) or not isinstance(parents, list):
        raise InputError("name must be a text, deltas an object of objects, parents a list")
    if not all(isinstance(v, dict) for v in deltas.values()):
        raise InputError("deltas must hold an object of hyperparameters for each path")
    _check_names(name, parents, seed, round_)
    if value["format"] == FORMAT_1:
        deltas = from_version_1(deltas)
    prediction = None if predicted is None else validate(PredictedScore, predicted, "prediction")
    return Genome(name, deltas, seed, tuple(parents), round_, prediction)


def _check_names(name: str, parents: list[Any], seed: Any, round_: Any) -> None:
    """Refuse names that could not be printed, and numbers that aren't."""
    if not name.isprintable() or len(name) > 200:
        raise InputError("name must be one line of at most 200 letters")
    if not all(isinstance(parent, str) and re.fullmatch(r"\w{1,64}", parent) for parent in parents):
        raise InputError("parents must be ids of genomes, letters and digits")
    for key, value in {"seed": seed, "round": round_}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InputError(f"{key} must be a number of at least 0, or null")


_FIELDS: dict[str, Any] = {
    "name": "",
    "deltas": None,
    "seed": None,
    "parents": [],
    "round": None,
    "prediction": None,
}


def _numbers(path: str, values: Mapping[str, Any]) -> Deltas:
    """Return a gene's deltas with choices as indices."""
    numbers = {}
    for name, value in values.items():
        with naming(f"{path}: {name[:60]}"):
            numbers[name] = hyperparameter(name).number(value)
    return numbers


def _checked(gene: Gene, deltas: Deltas) -> Deltas:
    """Return a gene's deltas; refuse one that nothing below the gene reads, and a value outside its domain."""
    for name, delta in deltas.items():
        h = HYPERPARAMETERS[name]
        if not settable(h, gene.level):
            raise InputError(
                f"{gene.path}: {name} is read at {h.level} genes; no delta is allowed below them"
            )
        value = gene.parent.value(name) + delta if gene.parent else delta
        if value not in h.domain:
            raise InputError(f"{gene.path}: {name} is {value:g}; allowed: {h.allowed}")
    return deltas


def _check_paths(net: NetGene, deltas: Mapping[str, Deltas]) -> None:
    known = {gene.path: gene for gene in net.walk()}
    for path in deltas:
        if path in known:
            continue
        parent = path
        while parent not in known and "/" in parent:
            parent = parent.rsplit("/", 1)[0]
        children = known[parent].children if parent in known else [net]
        names = ", ".join(child.path for child in children) or "nothing"
        raise InputError(f"{shown(path)[1:-1]}: no such gene in this genome; at this level it has {names}")


def _hash(deltas: Mapping[str, Deltas]) -> str:
    text = json.dumps(deltas, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_defaults(deltas: Mapping[str, Deltas]) -> dict[str, Deltas]:
    root = {n: v for n, v in deltas.get("net", {}).items() if v != HYPERPARAMETERS[n].default}
    below = {path: values for path, values in deltas.items() if path != "net"}
    return {"net": root, **below} if root else below


def _without_zeros(deltas: Mapping[str, Deltas]) -> dict[str, dict[str, Number]]:
    kept = {p: {n: v for n, v in values.items() if p == "net" or v != 0} for p, values in deltas.items()}
    return {path: values for path, values in kept.items() if values}
