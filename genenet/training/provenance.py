"""The versions, hardware and container with which a training ran."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.version import build, container_image

if TYPE_CHECKING:
    import torch

    from genenet.training.arithmetic import Arithmetic


IMAGE_LABELS = Path("/.singularity.d/labels.json")  # inside a container


def made_with(device: torch.device, arithmetic: Arithmetic | None = None) -> dict[str, str | None]:
    """Return versions, device, arithmetic and container of a training, for its scores."""
    import numpy
    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "genenet": build(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "device": gpu or f"CPU ({platform.machine()})",
        "arithmetic": arithmetic.text(device) if arithmetic else None,
        "container": container_image(),
        "container_commit": _image_commit(),
    }


def _image_commit() -> str | None:
    if not IMAGE_LABELS.exists():
        return None
    labels: dict[str, str] = json.loads(IMAGE_LABELS.read_text(encoding="utf-8"))
    return labels.get("org.opencontainers.image.revision")
