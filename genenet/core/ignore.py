"""The label of voxels that are neither learnt nor scored."""

from __future__ import annotations

IGNORE = 255  # the label of voxels that are neither learnt nor scored
