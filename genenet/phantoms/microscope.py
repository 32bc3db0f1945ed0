"""What the microscope adds to a painted slice of the phantom: grain, noise, blur, and a contrast of its own."""

import numpy as np
from numpy.typing import NDArray

from genenet.phantoms.platelets import generator
from genenet.phantoms.variants import Variant

Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_TILE = 256  # pixels of a tile of noise


def record(image: Plane, seed: int, z: int, variant: Variant) -> Bytes:
    """Return the painted slice (Y + 2, X + 2) as recorded, (Y, X): noise, blur, and the slice's own contrast."""
    shot = np.sqrt(np.maximum(image, 20) / 128)
    # The contrast is applied to signal and noise together, so the noise is divided by it.
    image += _noise(seed, z, 0, image.shape) * shot * (0.34 * variant.noise / variant.contrast)
    contrast, offset = generator(seed, 2, z).normal([1.0, 0.0], [0.05, 4.0]).astype(np.float32)
    contrast *= np.float32(variant.contrast)
    image = (_blur(image) - 128) * contrast + (128.5 + offset)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def mottle(seed: int, z: int, size: tuple[int, int]) -> Plane:
    """Return the grain (Y, X) of the cytoplasm, of about 30 nm."""
    coarse = _noise(seed, z, 1, (size[0] + 4, size[1] + 4))
    return _blur(_blur(coarse)) * np.float32(0.4)


def _blur(image: Plane) -> Plane:
    """Smooth by (1, 2, 1) / 4 along y and x; two pixels fewer along each."""
    rows = image[:-2] + image[2:]
    rows += 2 * image[1:-1]
    both = rows[:, :-2] + rows[:, 2:]
    both += 2 * rows[:, 1:-1]
    both *= np.float32(1 / 16)
    return both


def _noise(seed: int, z: int, stream: int, size: tuple[int, ...]) -> Plane:
    """Return white noise (Y, X), even in [-127.5, 127.5]: the blur makes it nearly normal.

    Bytes are ten times faster to draw than normal deviates.
    """
    noise = np.empty(size, np.float32)
    for y in range(0, size[0], _TILE):
        for x in range(0, size[1], _TILE):
            tile = generator(seed, 3, stream, z, y, x).integers(0, 256, (_TILE, _TILE), np.uint8)
            part = noise[y : y + _TILE, x : x + _TILE]
            np.subtract(tile[: part.shape[0], : part.shape[1]], np.float32(127.5), out=part)
    return noise
