"""How a phantom may differ from the usual one."""

from dataclasses import dataclass

from genenet.core.errors import InputError


@dataclass(frozen=True)
class Variant:
    """What may be different about a phantom of the same shape and seed.

    Attributes:
        touching: Whether neighbouring platelets touch: a voxel between two belongs to the nearer one. Otherwise a gap
            of background separates them. The organelles are the same.
        contrast: How far grey levels are from the middle, relative to the usual phantom, without the noise.
        noise: Amplitude of the noise, relative to the usual phantom.

    Raises:
        InputError: If a factor is out of bounds.
    """

    touching: bool = False
    contrast: float = 1.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        """Check the factors."""
        if not 0 < self.contrast < float("inf"):
            raise InputError(f"contrast {self.contrast}: the phantom needs a factor above 0")
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"noise {self.noise}: the phantom needs a factor of at least 0")


USUAL = Variant()
