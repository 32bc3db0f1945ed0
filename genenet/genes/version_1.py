"""Genomes of ``genenet.genome/1``, the format of version 0.1: how they are read, and which ids they had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genenet.core.errors import InputError
from genenet.genes.gene_graph import Deltas
from genenet.genes.hyperparameters import HYPERPARAMETERS

FORMAT_1 = "genenet.genome/1"
RENAMED = {"batch_norm": "norm"}
_NAMES = """
    n_stacks n_context_stacks input_size input_depth log_learning_rate log_alpha1 log_alpha2 decay_steps decay_rate
    n_convlayers n_convkernels kernel_width dropout_rate norm activation padding spatial_mode dilation window_pooling
    residual log_gamma1 log_gamma2 log_lambda1 log_lambda2 pooling
"""
NAMES = set(_NAMES.split())  # of the format, as they are called today


def from_version_1(deltas: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the deltas of an old file under today's names.

    Raises:
        InputError: If a name is newer than the format.
    """
    return {path: {_today(path, n): _index(n, v) for n, v in of.items()} for path, of in deltas.items()}


def _today(path: str, name: str) -> str:
    if name in HYPERPARAMETERS and (name not in NAMES or name in RENAMED.values()):
        raise InputError(f"{path}: {name}: {FORMAT_1} has no such hyperparameter")
    return RENAMED.get(name, name)


def _index(name: str, value: Any) -> Any:
    """Turn false and true, the choices of ``batch_norm``, into the indices that none and batch have."""
    words = {False: 0, True: 1, "false": 0, "true": 1}
    return words.get(value, value) if name == "batch_norm" and isinstance(value, bool | str) else value


def to_version_1(deltas: Mapping[str, Deltas]) -> dict[str, dict[str, Any]] | None:
    """Return the deltas as an old file had them; None if it couldn't express them.

    The old id was the hash of what the file held, default values of the root included.
    """
    old_names = {new: old for old, new in RENAMED.items()}
    found: dict[str, dict[str, Any]] = {}
    for path, values in deltas.items():
        newer = {name: value for name, value in values.items() if name not in NAMES}
        if any(path != "net" or value != HYPERPARAMETERS[name].default for name, value in newer.items()):
            return None
        found[path] = {old_names.get(n, n): v for n, v in values.items() if n not in newer}
    return {path: values for path, values in found.items() if values}
