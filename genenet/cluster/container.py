"""The container image that jobs run in, and its check before anything is submitted."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.cluster.diagnosis import first_of
from genenet.config import stages
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.config.data import Image
    from genenet.config.model import Config

# exits with the status of genenet; then prints each path of standard input that doesn't exist inside the container
SCRIPT = 'genenet --version >&2 || exit $?; while IFS= read -r path; do test -e "$path" || echo "$path"; done'


def command_inside(image: str, arguments: str) -> list[str]:
    """Return the words before a command that make it run in the image, as the workflow's jobs do.

    Raises:
        InputError: If there is no Apptainer.
    """
    program = first_of("apptainer", "singularity")
    if program is None:
        raise InputError(
            "container: neither apptainer nor singularity is on the PATH; load its module, or set container: null"
        )
    return [program, "exec", "--home", str(Path.cwd()), *shlex.split(arguments), image]


def given_images(config: Config, images: Iterable[Image] | None = None) -> list[Path]:
    """Return the files of images, of all by default, with labels and masks; without phantoms, which are made."""
    every = config.data.images if images is None else images
    files = [stages.image_files(config, image).all for image in every if not image.phantom]
    return list(dict.fromkeys(path for each in files for path in each))


def check_search_container(config: Config, image: str, arguments: str) -> None:
    """Run the image as a search's jobs will, and look from inside for all folders and files that it names.

    Raises:
        InputError: As ``check_container`` does.
    """
    config.results.mkdir(parents=True, exist_ok=True)
    start = [config.start] if config.start else []
    existing = [path for path in [*given_images(config), *start] if path.exists()]
    check_container(image, arguments, map(str, [config.results, *sorted(existing)]))


def check_container(image: str, arguments: str, paths: Iterable[str]) -> None:
    """Run the image as jobs will, with Apptainer's ``arguments``, and look for ``paths`` from inside.

    Raises:
        InputError: If there is no Apptainer, the image is missing, can't be run, or holds another genenet than
            this one, or the container doesn't bind the folder of a path.
    """
    inside = command_inside(image, arguments)
    if "://" not in image and not Path(image).exists():
        raise InputError(
            f"container: {image}: no such file; build it (make container), or set container: null"
        )
    command, text = [*inside, "sh", "-c", SCRIPT], "\n".join([*paths, ""])
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"container: {image}: {_reason(done.stderr)}")
    if done.stdout:
        unseen = done.stdout.splitlines()
        folder = Path(unseen[0]).absolute().parent
        raise InputError(
            f"container: {unseen[0]}{f' and {len(unseen) - 1} more' if len(unseen) > 1 else ''} can't be seen from "
            f"inside the container; bind its folder: --bind {folder} (apptainer-args in the profile; "
            "--container-args of genenet submit)"
        )


def _reason(messages: str) -> str:
    """Return the error message of genenet inside the image; if there is none, that of Apptainer."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", messages)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    ours = [line.removeprefix("genenet: error: ") for line in lines if line.startswith("genenet: error: ")]
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL" in line]
    if ours:
        return ours[-1]
    return f"can't be run: {(fatal or lines or ['it prints no reason'])[-1]}"
