"""``phantom:``, a synthetic volume instead of files."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from genenet.config.types import Shape
from genenet.core.models import Closed


class Phantom(Closed):
    """A synthetic volume, drawn from its shape and seed."""

    shape: Shape = Field(description="voxels along z, y, x")
    seed: NonNegativeInt
    touching: bool = Field(
        False, description="neighbouring cells touch; false: a gap of background separates them"
    )
    contrast: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="factor of the contrast; the noise stays the same"
    )
    noise: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of the noise")

    @property
    def name(self) -> str:
        """The name of its folder under ``phantoms/``: shape, seed, and what isn't the default."""
        parts = [self._shape, f"seed{self.seed}", *["touching"] * self.touching]
        return "-".join([*parts, *(f"{name}{value}" for name, value in self._factors.items())])

    @property
    def options(self) -> list[str]:
        """The options of ``genenet phantom`` that say which volume it is."""
        more = [f"--{name}={value}" for name, value in self._factors.items()]
        return [f"--shape={self._shape}", f"--seed={self.seed}", *["--touching"] * self.touching, *more]

    @property
    def _shape(self) -> str:
        return "x".join(map(str, self.shape))

    @property
    def _factors(self) -> dict[str, float]:
        return {name: value for name in ("contrast", "noise") if (value := getattr(self, name)) != 1}
