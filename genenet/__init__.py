"""genenet: random search for segmentation networks of electron-microscopy volumes.

The names below are for scripts and notebooks. Each name is imported when it is first used, so ``import genenet`` takes
no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genenet.api.adaptation import adapt
    from genenet.api.ensemble import Ensemble, load_ensemble, segment
    from genenet.api.genomes import build, draw, make_phantom, random_genome
    from genenet.api.refit import refit
    from genenet.api.scoring import score
    from genenet.api.selection import make_ensemble
    from genenet.api.training import Trained, train
    from genenet.core.errors import InputError
    from genenet.core.version import __version__
    from genenet.genes.genome import Genome, read_genome
    from genenet.training.trainer import Diverged

__all__ = [
    "Diverged",
    "Ensemble",
    "Genome",
    "InputError",
    "Trained",
    "__version__",
    "adapt",
    "build",
    "draw",
    "load_ensemble",
    "make_ensemble",
    "make_phantom",
    "random_genome",
    "read_genome",
    "refit",
    "score",
    "segment",
    "train",
]

_MODULES = {
    "api.adaptation": ("adapt",),
    "api.ensemble": ("Ensemble", "load_ensemble", "segment"),
    "api.genomes": ("build", "draw", "make_phantom", "random_genome"),
    "api.refit": ("refit",),
    "api.scoring": ("score",),
    "api.selection": ("make_ensemble",),
    "api.training": ("Trained", "train"),
    "core.errors": ("InputError",),
    "core.version": ("__version__",),
    "genes.genome": ("Genome", "read_genome"),
    "training.trainer": ("Diverged",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # for type checkers a name that isn't there is an error

    def __getattr__(name: str) -> object:
        """Import a name when it is first used (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'genenet' has no attribute '{name}'")
        value = getattr(import_module(f"genenet.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
