"""Networks of the literature as genomes, so that they are built, trained and scored like all others."""

from __future__ import annotations

from typing import Any

from genenet.config import UNet2015, validate
from genenet.errors import InputError
from genenet.genome import Genome


def unet2015(options: UNet2015) -> Genome:
    """Return the U-Net of Ronneberger, Fischer and Brox (2015, MICCAI), with bias and without its dropout."""
    values = {"n_stacks": 4, "n_convlayers": 2, **options.model_dump()}
    return Genome("unet2015", {"net": values})


def baseline(name: str, options: dict[str, Any]) -> Genome:
    """Return a baseline by name; raises InputError for an unknown one or wrong options."""
    if name != "unet2015":
        raise InputError(f"{name}: no such baseline; known is unet2015")
    return unet2015(validate(UNet2015, options, f"baselines.{name}"))
