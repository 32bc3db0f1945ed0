"""The config.yaml that ``genenet init`` writes: for people to read, and to go on from."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from genenet.init.split import AXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from genenet.config.types import VoxelSize
    from genenet.init.classes import Classes
    from genenet.init.sizes import Sizes
    from genenet.init.split import Part, Split

WIDTH = 110


@dataclass(frozen=True)
class Choices:
    """All that the file says.

    Attributes:
        results: the folder.
        classes: of the labels.
        voxel_size_nm: along z, y, x.
        voxel_size_from: where that is from.
        parts: training and validation.
        volumes: to segment.
        sizes: of the networks.
        threads: of a training.
        n_jobs: that segment a volume.
        command: that wrote the file.
    """

    results: str
    classes: Classes
    voxel_size_nm: VoxelSize
    voxel_size_from: str
    parts: Split
    volumes: Sequence[Path]
    sizes: Sizes
    threads: int
    n_jobs: int
    command: str


def config_text(choices: Choices) -> str:
    """Return the file."""
    sections = [
        _head(choices.command),
        f"results: {flow(choices.results)}",
        _CONTAINER,
        _data(choices),
        _search(choices.sizes, choices.parts.train[0].shape[0]),
        _training(choices),
        _after(choices),
    ]
    return "\n\n".join(sections)


_CONTAINER = """# Image that the jobs of profiles/slurm run in (containers/genenet.sif, from make container); null:
# the plain environment.
container: null"""


def flow(value: Any) -> str:
    """Write a value on one line of YAML, quoted where it must be."""
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return text.strip()[1:-1]


def volume_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each volume, such as config.yaml allows."""
    names: list[str] = []
    for path in paths:
        stem = path.name.split(".")[0]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "volume"
        n = sum(each == name or each.startswith(f"{name}_") for each in names)
        names.append(f"{name}_{n + 1}" if name in names else name)
    return names


def _head(command: str) -> str:
    return (
        "# yaml-language-server: $schema=workflow/schemas/config.schema.json\n#\n"
        f"{_commented(command)}\n#\n"
        "# What genenet does: which images, which networks, how long. Every key is described in the schema above, and\n"
        "# config.yaml of genenet shows more of them. Paths are seen from the folder where Snakemake is started."
    )


def _commented(command: str) -> str:
    lines = textwrap.wrap(command, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return "# Written by\n#     " + " \\\n#         ".join(lines)


def _data(choices: Choices) -> str:
    classes, parts, volumes = choices.classes, choices.parts, choices.volumes
    mode = "training" if parts.is_of_one_image else "volume"
    why = (
        "all training images together: only what is in them differs between regions of one image"
        if parts.is_of_one_image
        else 'each volume; or "slice": each slice, or "training": all training images together'
    )
    lines = [
        "data:",
        "  # Names by label id, from 0 on.",
        *_wrapped("  classes: ", [flow(name) for name in classes.names]),
        f"  ignore_label: {flow(classes.ignore_label)}",
        f"  # Along z, y, x; {choices.voxel_size_from}.",
        f"  voxel_size_nm: {flow([_short(n) for n in choices.voxel_size_nm])}",
        f"  # (x - mean) / deviation of {why}.",
        f"  normalisation: {mode}",
        *_cut_comment(parts),
        *_images("train", parts.train),
        *_images("validation", parts.validation),
        "  # Scored once, after the ensemble is chosen. The scores on validation are flattering, since they choose it.",
        "  test: []",
        "  # What the ensemble segments, by name; labels:, if given, only score the result.",
        "  volumes:",
        *(
            f"    {name}: {flow({'path': str(path)})}"
            for name, path in zip(volume_names(volumes), volumes, strict=True)
        ),
    ]
    return "\n".join(lines)


def _short(value: float) -> float:
    return int(value) if value == int(value) else value


def _cut_comment(parts: Split) -> list[str]:
    if not parts.is_of_one_image:
        return ["  # Images to learn from, and others that say which network is good. Cut with", _REGION]
    axis = next(a for a, i in zip(AXES, parts.train[0].region or (), strict=True) if i)
    return [f"  # One image, cut along {axis}: learnt from one part, judged on the other.", _REGION]


_REGION = "  # region: [[z0, z1], [y0, y1], [x0, x1]], null for a whole axis."


def _images(name: str, parts: Sequence[Part]) -> Iterator[str]:
    yield f"  {name}:"
    for part in parts:
        yield f"    - path: {flow(str(part.look.image.path))}"
        yield f"      labels: {flow(str(part.look.labels))}"
        if part.region:
            yield f"      region: {flow([list(i) if i else None for i in part.region])}"


def _wrapped(key: str, items: list[str]) -> list[str]:
    """Write a list on one line, or on several if it is long."""
    line = f"{key}[{', '.join(items)}]"
    if len(line) <= WIDTH:
        return [line]
    return [key.rstrip(), *(f"    - {item}" for item in items)]


def _search(sizes: Sizes, depth: int) -> str:
    lines = [
        "search:",
        "  seed: 1",
        "  # More of them (80 in the published search) train only the new ones.",
        f"  n_genomes: {sizes.n_genomes}",
        "  # Feasible regions by level of the gene: values at the net, deltas below it.",
        "  regions:",
    ]
    for level, regions in sizes.regions.items():
        lines.append(f"    {level}:")
        lines += [f"      {name}: {flow(value)}" for name, value in regions.items()]
        if level == "net" and depth >= 16:
            lines += [
                "      # Networks are 2D, slice by slice. To draw 3D ones too (much slower; for nearly cubic voxels):",
                "      # spatial_mode: [2d, 3d]",
                "      # input_depth: [16, 48]",
            ]
    lines += ["", _BASELINES, "baselines:", f"  unet2015: {flow(sizes.baseline)}"]
    return "\n".join(lines)


_BASELINES = "# Networks of the literature, trained like the genomes; ranked, never members of the ensemble."


def _training(choices: Choices) -> str:
    sizes = choices.sizes
    return f"""training:
  iterations: {sizes.iterations}
  batch_size: {sizes.batch_size}
  # CPU threads of one training. Part of the science: others give other bits, equally good ones.
  threads: {choices.threads}
  device: auto
  # Each validation segments {_million(choices.parts.validation)} voxels.
  validation_interval: {sizes.validation_interval}
  # Classes weigh frequency^-exponent: 0 all voxels alike, 1 all classes alike.
  loss: {{class_weight_exponent: 0.5}}
  # Much more can be chosen (loss, augmentation, optimiser, schedule, precision, …): docs/training.md.
  augmentation: {{flips_and_turns: true}}"""


def _million(parts: Sequence[Part]) -> str:
    n = sum(part.shape[0] * part.shape[1] * part.shape[2] for part in parts)
    return f"{n / 1e6:.1f} million" if n >= 1e5 else f"{n:,}"


def _after(choices: Choices) -> str:
    return f"""ensemble:
  # Number of members, or auto: the best size of the curve.
  size: auto
  max_size: {min(10, choices.sizes.n_genomes)}

segmentation:
  # Jobs that a volume is shared among.
  jobs: {choices.n_jobs}
  # What the networks may take of memory, on each core or on the GPU. More: docs/segmentation.md.
  memory_mb: 1000
"""
