"""The image that jobs run in, tried once before anything is submitted."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from genenet.cluster.diagnosis import first_of
from genenet.core.errors import InputError

# exits with genenet's status; then prints those of the paths on standard input that aren't seen from inside
SCRIPT = 'genenet --version >&2 || exit $?; while IFS= read -r path; do test -e "$path" || echo "$path"; done'


def command_inside(image: str, arguments: str) -> list[str]:
    """Return what comes before a command that runs in the image, with Apptainer's ``arguments``, as in the workflow.

    Raises:
        InputError: If there is no Apptainer.
    """
    program = first_of("apptainer", "singularity")
    if program is None:
        raise InputError(
            "container: neither apptainer nor singularity is on the PATH; load its module, or set container: null"
        )
    return [program, "exec", "--home", str(Path.cwd()), *shlex.split(arguments), image]


def check_container(image: str, arguments: str, paths: Iterable[str]) -> None:
    """Run the image as jobs will, with Apptainer's ``arguments``, and look for ``paths`` from inside.

    Raises:
        InputError: If there is no Apptainer, the image is missing, can't be run, or holds another genenet than
            this one, or a path lies outside of what the container binds.
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
    """Return what genenet said inside of the image, or what Apptainer said of it."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", messages)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    ours = [line.removeprefix("genenet: error: ") for line in lines if line.startswith("genenet: error: ")]
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL" in line]
    if ours:
        return ours[-1]
    return f"can't be run: {(fatal or lines or ['it says nothing'])[-1]}"
