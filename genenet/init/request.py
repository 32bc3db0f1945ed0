"""What ``genenet init`` is given, and the files that it asks for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.init import prompts
from genenet.volumes.formats import format_names

if TYPE_CHECKING:
    from genenet.config.types import VoxelSize
    from genenet.init.sizes import Kind


@dataclass(frozen=True)
class Request:
    """What is given; the rest is asked for, or chosen."""

    images: list[Path]
    labels: list[Path]
    validation_images: list[Path]
    validation_labels: list[Path]
    volumes: list[Path]
    classes: list[str] | None
    ignore_label: int | None
    voxel_size_nm: VoxelSize | None
    out: Path | None
    n_genomes: int | None
    iterations: int | None
    device: Kind | None
    trial: bool
    force: bool

    def command(self) -> str:
        """Return the line that says all this."""
        words = ["genenet", "init"]
        pairs = {
            "--image": self.images,
            "--labels": self.labels,
            "--validation-image": self.validation_images,
            "--validation-labels": self.validation_labels,
            "--segment": self.volumes,
        }
        words += [word for option, paths in pairs.items() for path in paths for word in (option, str(path))]
        if self.classes:
            words += ["--classes", ",".join(self.classes)]
        if self.voxel_size_nm:
            words += ["--voxel-size", "x".join(f"{n:g}" for n in self.voxel_size_nm)]
        more = {
            "--ignore-label": self.ignore_label,
            "--genomes": self.n_genomes,
            "--iterations": self.iterations,
            "--device": self.device,
        }
        words += [
            word for option, value in more.items() if value is not None for word in (option, str(value))
        ]
        return shlex.join(words)


def output_path(request: Request, asks: bool) -> Path:
    """Return where the config goes; never over an existing one unless that is wanted."""
    out = request.out or Path("config.yaml")
    if request.out is None and out.exists() and not request.force and asks:
        print(f"{out} is there already.")
        out = Path(prompts.ask_until("Config file to write", "mine.yaml", check_new))
    if not request.force:
        check_new(str(out))
    return out


def check_new(name: str) -> None:
    """Raise InputError if a config can't be written there."""
    if Path(name).suffix not in (".yaml", ".yml"):
        raise InputError(f"{name}: give a name that ends with .yaml")
    if Path(name).exists():
        raise InputError(
            f"{name}: is there already; --out mine.yaml writes another file, --force replaces this one"
        )


def with_files(request: Request, asks: bool) -> Request:
    """Ask for images, labels and a volume, if they are missing."""
    images, labels = request.images, request.labels
    if not images and not asks:
        raise prompts.missing("--image", f"a labelled image ({format_names()}, or a folder of slices)")
    asked = not images
    images, labels = (
        prompts.ask_images() if asked else (images, prompts.complete_pairs(images, labels, "", asks))
    )
    of_validation = prompts.complete_pairs(
        request.validation_images, request.validation_labels, "validation-", asks
    )
    volumes = request.volumes
    if asked and not volumes:
        volume = prompts.ask_path(
            "Volume to segment with the result (Enter: the labelled image)", optional=True
        )
        volumes = [volume] if volume else []
    return replace(request, images=images, labels=labels, validation_labels=of_validation, volumes=volumes)
