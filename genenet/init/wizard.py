"""``genenet init``, step by step: survey the images, ask, split, choose sizes, try, write the config."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from genenet.config.model import check_config
from genenet.config.texts import read_names
from genenet.core.atomic_files import write_text
from genenet.core.errors import InputError
from genenet.core.logs import quiet
from genenet.genes import generation
from genenet.init import printing, prompts
from genenet.init.classes import LabelIds
from genenet.init.config_text import Choices, config_text, plain
from genenet.init.folds import in_folds, offer, offer_text
from genenet.init.further import further_text, read_further
from genenet.init.machine import find_machine, has_torch
from genenet.init.objects import notes, with_objects
from genenet.init.request import read_number
from genenet.init.search_cost import SearchCost
from genenet.init.sizes import choose_sizes, max_validation
from genenet.init.split import split
from genenet.init.survey import survey
from genenet.init.voxel_size import find_voxel_size, notes_on_sizes
from genenet.networks.tile_sizes import BLOCK
from genenet.volumes import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from genenet.init.classes import Classes
    from genenet.init.further import Further
    from genenet.init.machine import Machine
    from genenet.init.parts import Offer, Split
    from genenet.init.request import Request
    from genenet.init.sizes import Sizes
    from genenet.init.survey import Look, Survey
    from genenet.init.voxel_size import FoundSize

MAX_JOBS = 16


def start(request: Request) -> None:
    """Look at the images, ask for what is missing, and write the config.

    Raises:
        InputError: If something is missing, or can't be learnt from; nothing is written then.
    """
    interactive = prompts.is_terminal()
    out = prompts.ask_output(request, interactive)
    further = read_further(request.start) if request.start else None
    request = prompts.ask_files(request, interactive)
    seen = survey(request)
    printing.images(seen)
    request, seen = with_objects(request, seen, interactive)
    request = further.completed(request) if further else request
    ids = LabelIds.of(seen.labelled, request.ignore_label, request.classes)
    classes = _classes(request, ids, interactive)
    if interactive:
        request = request.model_copy(update={"classes": classes.names})
    voxel_size = find_voxel_size(request, seen, interactive, further)
    request = _with_voxel_sizes(request, voxel_size)
    machine = find_machine(request.device)
    request, parts = _split(request, seen, classes, machine, interactive)
    printing.classes_and_split(classes, seen, parts)
    on_images = [*notes_on_sizes(voxel_size, seen), *_notes_on_types(seen)]
    can_be_3d = voxel_size.is_nearly_cubic and not further
    on_objects = notes(seen.labelled, can_be_3d) if request.objects else []
    on_start = list(further.notes(classes, request.objects, parts)) if further else []
    printing.notes([*classes.notes, *on_objects, *parts.notes, *on_images, *on_start])

    def choices(answered: Request) -> Choices:
        return Choices(
            results=_results(out, further),
            classes=classes,
            voxel_size=voxel_size,
            parts=parts,
            volumes=seen.volumes or [seen.labelled[-1].image],
            threads=machine.threads,
            n_jobs=_n_jobs(seen.volumes, machine),
            command=answered.command(),
        )

    if further:
        request = _with_numbers(request, further.suggested, interactive)
        printing.further(further, request)
        text = further_text(further, choices(request), request)
    else:
        request = _with_numbers(
            request, lambda asked: _suggested(asked, parts, classes, machine, voxel_size), interactive
        )
        cost = _cost(request, parts, classes, machine, voxel_size)
        printing.cost(cost)
        text = config_text(choices(request), cost)
    check_config(yaml.safe_load(text), str(out))
    write_text(out, text)
    printing.next_steps(out, _results(out, further))


def _results(out: Path, further: Further | None) -> str:
    """Return a name for the results folder that isn't that of the earlier search."""
    name = "results" if out.name == "config.yaml" else f"results_{plain(out.stem)}"
    return f"{name}_further" if further and Path(name).absolute() in _around(further.folder) else name


def _around(folder: Path) -> list[Path]:
    """Return a folder and those that it lies in."""
    return [folder.absolute(), *folder.absolute().parents]


def _split(
    request: Request, seen: Survey, classes: Classes, machine: Machine, interactive: bool
) -> tuple[Request, Split]:
    """Set a part aside for validation, or make folds if they are asked for, which also completes the request."""
    if request.folds and seen.validation:
        raise InputError(
            "--folds: all images are validated on; give images with --image, or leave --folds out"
        )
    if request.folds:
        return request, in_folds(seen.train, request.folds, classes)
    parts = split(seen.train, seen.validation, classes, max_validation(machine))
    offered = None if seen.validation else offer(seen.train, parts, classes)
    if not offered:
        return request, parts
    offered = replace(offered, is_longer=request.iterations is not None)
    folds = _asked_folds(seen, classes, offered) if interactive else None
    if folds:
        return request.model_copy(update={"folds": folds.n_folds}), folds
    note = f"{offer_text(offered)}: give --folds {offered.n}"
    return request, replace(parts, offer=offered, notes=[*parts.notes, note])


def _asked_folds(seen: Survey, classes: Classes, offered: Offer) -> Split | None:
    """Ask for the number of folds; None if there shall be none."""

    def read(answer: str) -> Split | None:
        n = read_number(answer)
        return in_folds(seen.train, n, classes) if n > 1 else None

    print()
    printing.paragraph(f"{offer_text(offered)}.")
    return prompts.ask("Folds of a cross-validation (1: none)", str(offered.n), read)


def _classes(request: Request, ids: LabelIds, interactive: bool) -> Classes:
    """Return the classes, with the names that were given or are asked for."""
    names = request.classes or ids.default_names()
    if request.classes or not interactive:
        return ids.classes(names)
    print()
    text = f"Names of the {ids.n_classes} classes, from label {ids.first} on"
    return prompts.ask(text, ",".join(names), lambda answer: ids.classes(read_names(answer)))


def _notes_on_types(seen: Survey) -> Iterator[str]:
    """Yield which images have other types of voxels than the first one."""
    first = seen.train[0].image
    for other in [*(each.image for each in seen.labelled), *seen.volumes]:
        if other.dtype != first.dtype:
            yield (
                f"{other.path}: its voxels are {other.dtype}, but those of {first.path} are {first.dtype}; "
                "normalisation corrects another scale of grey values, but not clipped values"
            )


def _with_voxel_sizes(request: Request, size: FoundSize) -> Request:
    """Complete the request with the sizes that were found, so that its command says them all."""
    if size.missing:
        return request
    found: dict[str, object] = {"voxel_size": size.whole}
    if size.of_images:
        for name, images in (
            ("image_voxel_size", request.image),
            ("validation_voxel_size", request.validation_image),
        ):
            found[name] = [size.of_images.get(path) for path in images]
    return request.model_copy(update=found)


def _with_numbers(
    request: Request, suggest: Callable[[Request], tuple[int, int]], interactive: bool
) -> Request:
    """Choose the numbers of genomes and iterations, or ask for them; the iterations suggested fit the genomes."""
    questions = {"genomes": "Genomes to draw and train", "iterations": "Iterations of each training"}
    missing = [name for name in questions if interactive and getattr(request, name) is None]
    if missing:
        print()
    for name in missing:
        n_genomes, n_iterations = suggest(request)
        default = n_genomes if name == "genomes" else n_iterations
        answer = prompts.ask(questions[name], str(default), read_number)
        request = request.model_copy(update={name: answer})
    return request


def _suggested(
    request: Request, parts: Split, classes: Classes, machine: Machine, size: FoundSize
) -> tuple[int, int]:
    """Return the numbers of genomes and iterations that suit images and machine."""
    sizes = _sizes(request, parts, classes, machine, size)
    return sizes.n_genomes, sizes.iterations


def _sizes(request: Request, parts: Split, classes: Classes, machine: Machine, size: FoundSize) -> Sizes:
    """Choose what to draw for the smallest training image, or the smallest slab of a fold."""
    smallest = min(min(size.resampled(part.look.image.path, part.shape)[1:]) for part in parts.pieces)
    numbers = request.genomes, request.iterations
    is_refitted = parts.reason_to_refit(classes) is not None
    with quiet(generation.__name__):  # the share of draws that fit is printed
        return choose_sizes(smallest, len(classes.names), machine, *numbers, is_refitted, parts.n_folds)


def _cost(request: Request, parts: Split, classes: Classes, machine: Machine, size: FoundSize) -> SearchCost:
    """Choose what to draw, and try some of it."""
    sizes = _sizes(request, parts, classes, machine, size)
    n_validation = sum(
        math.prod(size.resampled(part.look.image.path, part.shape)) for part in parts.validation
    )
    n_validation //= parts.n_folds
    with quiet(generation.__name__):
        reason = sizes.refit_ratio if parts.folds else parts.reason_to_refit(classes)
        n_refits = sizes.max_members if reason else 0
        cost = SearchCost.of(sizes, machine, len(classes.names), n_validation, n_refits)
    if request.trial:
        cost = _tried(cost, parts, classes)
    return cost.without_resenc(request.iterations) if cost.is_slowed else cost


def _tried(cost: SearchCost, parts: Split, classes: Classes) -> SearchCost:
    """Return the cost with the measured speed of some networks, or with the reason why there is none."""
    machine = cost.machine
    if not has_torch():
        return replace(cost, untried="torch isn't installed here")
    if not machine.is_here:
        return replace(
            cost, untried=f"{machine.name} isn't available here; run the same command in a job that has one"
        )
    from genenet.init.trial import try_networks

    printing.trial()
    try:
        with quiet(opening.__name__, logging.ERROR):  # the survey has opened the same files
            tried = try_networks(cost.shown.values(), parts, classes, cost.sizes, machine)
        return replace(cost, tried=tried)
    except InputError as error:
        return replace(cost, untried=str(error))


def _n_jobs(volumes: Sequence[Look], machine: Machine) -> int:
    """Return the number of cluster jobs for the largest volume: one for each block, up to a limit."""
    if machine.kind == "cpu":
        return 1
    blocks = [1]
    for volume in volumes:
        z, y, x = (-(-n // b) for n, b in zip(volume.shape, BLOCK, strict=True))
        blocks.append(z * y * x)
    return min(MAX_JOBS, max(blocks))
