"""Units of length."""

from __future__ import annotations

_NM = {
    **dict.fromkeys(("pm", "picometer"), 1e-3),
    **dict.fromkeys(("å", "angstrom", "ångström"), 0.1),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1.0),
    **dict.fromkeys(("µm", "μm", "um", "\\u00b5m", "micron", "microns", "micrometer", "micrometre"), 1e3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    "inch": 2.54e7,
}


def nm_per(unit: str | None) -> float | None:
    """Return how many nm a unit of length is, by its name as OME or ImageJ write it; None if unknown."""
    return _NM.get((unit or "").strip().lower())
