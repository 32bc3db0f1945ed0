"""Colours of classes, the same in the output's metadata and in all drawings."""

import colorsys

Colour = tuple[int, int, int]

# Okabe and Ito's first (all eyes can tell them apart), then others that differ from them and each other.
_COLOURS = bytes.fromhex(
    "e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 e6194b 911eb4 46f0f0 bfef45 fabed4 "
    "9a6324 dcbeff 800000 aaffc3 808000 3030a0 ffd8b1 a9a9a9 f032e6 3cb44b 4363d8 fffac8"
)
_GOLDEN_RATIO = 0.618033988749895


def class_colours(n: int) -> list[Colour]:
    """Return the colours (red, green, blue; 0 to 255) of ``n`` classes; class 0, the background, is black."""
    return [(0, 0, 0), *(_colour(i) for i in range(n - 1))][:n]


def _colour(i: int) -> Colour:
    if 3 * i < len(_COLOURS):
        red, green, blue = _COLOURS[3 * i : 3 * i + 3]
        return red, green, blue
    # Steps of the golden ratio spread hues evenly, however many there are.
    saturation, value = (0.9, 0.9) if i % 2 else (0.55, 0.75)
    hue = colorsys.hsv_to_rgb(i * _GOLDEN_RATIO % 1, saturation, value)
    red, green, blue = (round(255 * part) for part in hue)
    return red, green, blue
