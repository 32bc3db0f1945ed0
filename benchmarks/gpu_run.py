"""What the parts of benchmarks/gpu.py share: device, time, rows of results, and a process for each part."""

import json
import os
import signal
import time
import traceback
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing import get_context

import torch

import bench_tools  # noqa: F401  puts the clone on the path of all processes

# What the server of all parts imports once; nothing of it touches the GPU, which a forked process couldn't use then
PRELOAD = ["torch", "genenet.training.run", "genenet.segmentation.job", "genenet.cli.main"]


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        what: was measured.
        value: in ``unit``; None for a check, which has a note alone.
        unit: of the value.
        ratio: of the value to another one, which ``to`` names.
        to: names the other value.
        aim: for the ratio, or for the value if there is no ratio, on an H100 or H200; None: there is none.
        note: more about it.
        failed: whether it is a check that failed.
    """

    what: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    to: str = ""
    aim: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def text(self):
        """The row as a line of text."""
        value = "" if self.value is None else f"{self.value:.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} of {self.to}"
        aim = "" if self.aim is None else f"(aim: {self.aim:g})"
        return "  ".join(part for part in (f"{self.what:58}", value, ratio, aim, self.note) if part)


@dataclass(frozen=True)
class Run:
    """A part's device and time.

    Attributes:
        device: cuda or cpu.
        seconds: that the part may take; it is ended after them.
    """

    device: str
    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def is_trial(self):
        """Whether everything is tiny, to try the program on a CPU."""
        return self.device == "cpu"

    @property
    def torch_device(self):
        """The device."""
        return torch.device(self.device)

    @property
    def left(self):
        """Seconds that are left to the part."""
        return self.began + self.seconds - time.monotonic()


def in_part(module, run, path):
    """In a process of its own: write the rows of a part to a file of JSON lines, each as soon as it is known."""
    os.setsid()  # so that processes that the part starts can be ended with it
    with path.open("w") as file:
        try:
            for row in import_module(module).rows(Run(run.device, run.seconds)):
                print(json.dumps(asdict(row)), file=file, flush=True)
        except Exception as error:  # whatever stops a part is a result, too
            traceback.print_exc()
            row = Row(f"{module} stopped", note=f"{type(error).__name__}: {error}", failed=True)
            print(json.dumps(asdict(row)), file=file, flush=True)


def rows_of(module, run, path):
    """Run a part for at most its time; return its rows, also those of a part that had to be ended."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=in_part, args=(module, run, path))
    process.start()
    process.join(run.seconds)
    ended = process.exitcode is None
    if ended:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [Row(**json.loads(line)) for line in lines]
    if ended:
        rows.append(Row(f"{module} was ended", note=f"it had {run.seconds:.0f} s; later results are missing"))
    elif process.exitcode:
        rows.append(Row(f"{module} crashed", note=f"exit code {process.exitcode}", failed=True))
    return rows
