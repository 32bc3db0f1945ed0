"""Units of length, as OME, NGFF, ImageJ, IMOD and Digital Micrograph write them."""

from __future__ import annotations

import re
import unicodedata

_NAMES = {
    1e-3: ("pm", "picometer", "picometre"),
    0.1: ("å", "a", "ang", "angstrom", "ångström", "ångstrom"),
    1.0: ("nm", "nanometer", "nanometre"),
    1e3: ("μm", "um", "micron", "micrometer", "micrometre"),
    1e6: ("mm", "millimeter", "millimetre"),
    1e7: ("cm", "centimeter", "centimetre"),
    1e9: ("m", "meter", "metre"),
    2.54e7: ("inch", "inches", "in"),
}
_NM = {name: nm for nm, names in _NAMES.items() for name in names}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def nm_per(unit: str | None) -> float | None:
    r"""Return how many nm a unit of length is, by its name in singular or plural; None if it is unknown.

    ImageJ escapes letters that aren't ASCII (``\u00b5m``). Unicode has µ twice, and Å: NFKC makes them one.
    """
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), unit or "")
    name = unicodedata.normalize("NFKC", text).strip().casefold().rstrip(".")
    return _NM.get(name) or (_NM.get(name.removesuffix("s")) if len(name) > 3 else None)
