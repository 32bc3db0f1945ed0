"""Allows inputs of Snakemake's rules whose names contain braces, such as ``em_{3F2504E0}.tif``."""

from __future__ import annotations

import os
from typing import Any


def allow_braces_in_names() -> None:
    """Let a path that exists as it is written be that file.

    Snakemake takes ``{name}`` in every path for a wildcard, also in those that a rule's function returns, and knows
    no way to write a brace that is none.
    """
    from snakemake import io

    apply_wildcards = io.apply_wildcards

    def apply(pattern: str, wildcards: Any) -> Any:
        return pattern if "{" in pattern and os.path.exists(pattern) else apply_wildcards(pattern, wildcards)

    io.apply_wildcards = apply
