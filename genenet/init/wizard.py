"""``genenet init``, step by step: ask, look, split, choose sizes, try, write."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import yaml

from genenet.config.model import check_config
from genenet.core.atomic_files import write_text
from genenet.core.errors import InputError
from genenet.core.logs import quiet
from genenet.init import printing, prompts
from genenet.init.classes import check_gaps, choose_classes, default_names, find_ignored, n_classes
from genenet.init.config_text import Choices, config_text
from genenet.init.machine import find_machine, has_torch
from genenet.init.request import output_path, with_files
from genenet.init.sizes import (
    choose_sizes,
    cost_of,
    costs,
    feasible_regions,
    feasible_share,
    max_validation,
)
from genenet.init.split import split
from genenet.init.survey import LabelledLook, Look, Pair, look, look_at_pair
from genenet.networks.tiling import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from genenet.config.types import VoxelSize
    from genenet.init.classes import Classes
    from genenet.init.request import Request
    from genenet.init.sizes import Cost, Machine, Sizes
    from genenet.init.split import Split
    from genenet.init.trial import Speed

UNKNOWN: VoxelSize = (1.0, 1.0, 1.0)
MAX_JOBS = 16
VOLUME_VOXELS = 2**22  # of a volume to segment that are looked at

Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Seen:
    """What was looked at."""

    train: list[LabelledLook]
    validation: list[LabelledLook]
    volumes: list[Look]

    @property
    def labelled(self) -> list[LabelledLook]:
        """All labelled images."""
        return [*self.train, *self.validation]


def start(request: Request) -> None:
    """Do it all.

    Raises:
        InputError: For what is missing, or can't be learnt from; nothing is written then.
    """
    asks = prompts.is_terminal()
    out = output_path(request, asks)
    request = with_files(request, asks)
    seen = _look(request)
    printing.show_images(seen.labelled, seen.volumes)
    request, classes = _classes(request, seen, asks)
    request, voxel_size_from = _voxel_size(request, seen, asks)
    machine = find_machine(request.device)
    parts = split(seen.train, seen.validation, classes, max_validation(machine))
    _show(seen, classes, parts, [*classes.notes, *parts.notes, *_notes(request, seen)])
    with quiet("genenet.genes.genome"):  # how many draws fit is said below
        request, sizes = _sizes(request, parts, classes, machine, asks)
    _show_cost(sizes, parts, classes, machine, request.trial)
    choices = Choices(
        results="results" if out.name == "config.yaml" else f"results_{_plain(out.stem)}",
        classes=classes,
        voxel_size_nm=request.voxel_size_nm or UNKNOWN,
        voxel_size_from=voxel_size_from,
        parts=parts,
        volumes=request.volumes or [(seen.validation or seen.train)[-1].image.path],
        sizes=sizes,
        threads=machine.threads,
        n_jobs=_n_jobs(seen.volumes, machine),
        command=request.command(),
    )
    text = config_text(choices)
    check_config(yaml.safe_load(text), str(out))
    write_text(out, text)
    printing.next_steps(out, choices.results)


def _look(request: Request) -> Seen:
    """Look at all files; raises InputError with a line for each thing that is wrong with any of them."""
    wrong: list[str] = []
    train = _each(look_at_pair, map(Pair, request.images, request.labels), wrong)
    validation = _each(look_at_pair, map(Pair, request.validation_images, request.validation_labels), wrong)
    volumes = _each(lambda path: look(path, max_voxels=VOLUME_VOXELS), request.volumes, wrong)
    if wrong:
        raise InputError("\n".join(wrong))
    return Seen(train, validation, volumes)


def _each(function: Callable[[Given], Found], given: Iterable[Given], wrong: list[str]) -> list[Found]:
    """Apply a function; what is wrong is added to ``wrong``."""
    found = []
    for item in given:
        try:
            found.append(function(item))
        except InputError as error:
            wrong.append(str(error))
    return found


def _classes(request: Request, seen: Seen, asks: bool) -> tuple[Request, Classes]:
    """Name the classes, as asked for."""
    ignored = find_ignored(seen.labelled, request.ignore_label)
    names = request.classes
    if names is None and asks:
        n = n_classes(seen.labelled, ignored)
        check_gaps(seen.labelled, ignored)
        default = ",".join(default_names(n))

        def read(text: str) -> None:
            choose_classes(seen.labelled, prompts.read_names(text), ignored)

        print()
        names = prompts.read_names(
            prompts.ask_until(f"Names of the {n} classes, from label 0 on", default, read)
        )
    classes = choose_classes(seen.labelled, names, ignored)
    return replace(request, classes=names), classes


def _voxel_size(request: Request, seen: Seen, asks: bool) -> tuple[Request, str]:
    """Find the voxel size, and say where it is from."""
    if request.voxel_size_nm:
        return request, "as given"
    for image in (each.image for each in seen.labelled):
        if image.voxel_size_nm:
            return replace(
                request, voxel_size_nm=image.voxel_size_nm
            ), f"from the metadata of {image.path.name}"
    if asks:
        text = "Voxel size in nm along z, y, x, such as 40x10x10; the files don't say"
        answer = prompts.ask_until(text, "unknown", lambda t: t == "unknown" or prompts.read_voxel_size(t))
        if answer != "unknown":
            return replace(request, voxel_size_nm=prompts.read_voxel_size(answer)), "as given"
    return request, "NOT KNOWN, the files don't say: give the true one, results carry it"


def _notes(request: Request, seen: Seen) -> Iterator[str]:
    """Yield what is odd about voxel sizes and types."""
    size, dtype = request.voxel_size_nm, seen.train[0].image.dtype
    if size is None:
        yield (
            "the voxel size isn't known, 1 x 1 x 1 nm is written: give --voxel-size (z, y, x in nm), or edit the file; "
            "2D networks do without, but results carry it, and volumes are rescaled by it"
        )
    for other in [*(each.image for each in seen.labelled), *seen.volumes]:
        own = other.voxel_size_nm
        if size and own and any(abs(a - b) > 0.05 * b for a, b in zip(own, size, strict=True)):
            text, wanted = ("x".join(f"{n:g}" for n in each) for each in (own, size))
            yield (
                f"{other.path}: its voxels are {text} nm by its metadata, not {wanted}; networks expect what they were "
                "trained on (segmentation.rescale: true resamples volumes to segment)"
            )
        if other.dtype != dtype:
            yield f"{other.path}: its voxels are {other.dtype}, those of {seen.train[0].image.path} {dtype}"


def _show(seen: Seen, classes: Classes, parts: Split, notes: Sequence[str]) -> None:
    print()
    printing.show_classes(classes, seen.labelled, parts)
    print()
    printing.show_split(parts)
    if notes:
        print()
    printing.say_notes(notes)


def _sizes(
    request: Request, parts: Split, classes: Classes, machine: Machine, asks: bool
) -> tuple[Request, Sizes]:
    """Choose what to draw, numbers of genomes and iterations as asked for."""
    smallest = min(min(part.shape[1:]) for part in parts.train)

    def choose() -> Sizes:
        return choose_sizes(smallest, len(classes.names), machine, request.n_genomes, request.iterations)

    sizes = choose()
    if asks and request.n_genomes is None:
        print()
        request = replace(request, n_genomes=prompts.ask_number("Genomes to draw and train", sizes.n_genomes))
    if asks and request.iterations is None:
        request = replace(
            request, iterations=prompts.ask_number("Iterations of each training", sizes.iterations)
        )
    return request, choose()


def _show_cost(sizes: Sizes, parts: Split, classes: Classes, machine: Machine, trial: bool) -> None:
    drawn, baseline = (
        costs(sizes, len(classes.names)),
        cost_of(sizes.baseline_genome(), sizes, len(classes.names)),
    )
    n_validation = sum(part.shape[0] * part.shape[1] * part.shape[2] for part in parts.validation)
    speed = _try(drawn, parts, classes, sizes, machine) if trial and machine.is_here else None
    print()
    fit = feasible_share(feasible_regions(sizes.regions))
    printing.say(
        f"Networks for {machine.name}: {len(drawn)} genomes drawn ({fit:.0%} of draws fit the images, others are "
        f"redrawn). A training: {sizes.iterations:,} iterations with batches of {sizes.batch_size}."
    )
    print()
    printing.show_cost(drawn, baseline, sizes, n_validation, speed)
    notes = [*printing.total_lines(drawn, baseline, sizes, n_validation, machine, speed)] if speed else []
    if trial and not machine.is_here:
        notes.append(_no_trial(machine))
    largest = max(cost.memory_bytes for cost in drawn)
    if machine.memory_bytes and largest * machine.n_at_once > 0.8 * machine.memory_bytes:
        notes.append(_no_memory(largest, machine))
    print()
    if notes:
        printing.say_notes(notes)
        print()


def _try(
    drawn: Sequence[Cost], parts: Split, classes: Classes, sizes: Sizes, machine: Machine
) -> Speed | None:
    """Try the median genome."""
    from genenet.init.trial import try_genome

    median = sorted(drawn, key=lambda cost: cost.flops)[len(drawn) // 2].genome
    return try_genome(median, parts.train[0], parts.validation[0], classes, sizes, machine)


def _no_trial(machine: Machine) -> str:
    if not has_torch():
        return "no training was tried: torch isn't installed here"
    return f"no training was tried: {machine.name} isn't here; the same line in a job that has one times it"


def _no_memory(largest: float, machine: Machine) -> str:
    return (
        f"the largest needs {largest / 1e9:.1f} GB, {machine.n_at_once} run side by side, and {machine.name} has "
        f"{(machine.memory_bytes or 0) / 1e9:.1f} GB: lower search.regions.net.n_convkernels or input_size"
    )


def _n_jobs(volumes: Sequence[Look], machine: Machine) -> int:
    """Return how many jobs the largest volume is worth where there is a cluster."""
    if machine.kind == "cpu":
        return 1
    blocks = 1
    for volume in volumes:
        z, y, x = (-(-n // b) for n, b in zip(volume.shape, BLOCK, strict=True))
        blocks = max(blocks, z * y * x)
    return min(MAX_JOBS, blocks)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)
