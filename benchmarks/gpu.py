"""What one NVIDIA GPU makes of genenet: does it compute the same, how fast are trainings and segmentations, what fits.

python benchmarks/gpu.py [--minutes 8] [--out gpu.json] [checks] [training] [packs] [segmentation] [tests]
python benchmarks/gpu.py --device cpu --minutes 2     tries the program itself on a CPU; the figures mean nothing

It needs torch, genenet from this clone, and one GPU that nothing else uses. It keeps to its minutes: a part that takes
longer is ended, and what it had found by then is kept. MONAI and pytest are used if they are installed. At the end it
prints lines for docs/benchmarks.md. It exits with 2 if there is no GPU, and with 1 if a check failed.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench_tools import parser, processor_name
from genenet.core.atomic_files import write_json
from genenet.core.version import build
from gpu_run import Run, rows_of

# Share of the time of each part; what a part doesn't use, later parts get
PARTS = {"checks": 25, "training": 25, "packs": 15, "segmentation": 20, "tests": 15}
RESERVE = 5  # seconds for the end
TRIAL = "a trial on a CPU: the figures mean nothing"


def machine(device):
    """Return what it runs on."""
    facts = {
        "genenet": build(),
        "torch": torch.__version__,
        "processor": processor_name(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    if device == "cpu":
        return {"gpu": None, **facts}
    free, total = torch.cuda.mem_get_info()
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu_memory_mib": total >> 20,
        "gpu_memory_free_mib": free >> 20,
        "cuda": torch.version.cuda,
        "driver": driver(),
        **facts,
    }


def driver():
    """Return the version of the driver, or None if nvidia-smi doesn't say."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip()


def measured(options, folder):
    """Run the parts one after the other within the minutes; yield the name and the rows of each."""
    end = time.monotonic() + 60 * options.minutes - RESERVE
    parts = [part for part in PARTS if part in (options.parts or PARTS)]
    for i, part in enumerate(parts):
        share = PARTS[part] / sum(PARTS[later] for later in parts[i:])
        run = Run(options.device, share * max(0, end - time.monotonic()))
        print(f"{part}: at most {run.seconds:.0f} s", flush=True)
        rows = rows_of(f"gpu_{part}", run, folder / f"{part}.jsonl")
        for row in rows:
            print(f"  {row.text}", flush=True)
        yield part, rows


def table(facts, found):
    """Return the lines for docs/benchmarks.md."""
    lines = [
        f"`python benchmarks/gpu.py`, {facts['gpu'] or TRIAL}, torch {facts['torch']}, {facts['date']}.",
        "",
    ]
    lines += ["| | value | ratio | aim |", "|---|---|---|---|"]
    for row in (row for rows in found.values() for row in rows):
        value = row.note if row.value is None else f"{row.value:.4g} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} of {row.to}"
        lines.append(f"| {row.what} | {value} | {ratio} | {'' if row.aim is None else f'{row.aim:g}'} |")
    return lines


def main():
    """Run the parts that are asked for, or all; return the exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all")
    arguments.add_argument("--minutes", type=float, default=8.0, help="time of the whole program")
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--out", type=Path, default=Path("gpu.json"), help="file of all results")
    options = arguments.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        arguments.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            f"no GPU: torch {torch.__version__} finds none; --device cpu tries the program", file=sys.stderr
        )
        return 2
    facts = machine(options.device)
    print(json.dumps(facts))
    if options.device == "cpu":
        print(TRIAL)
    with tempfile.TemporaryDirectory() as folder:
        found = dict(measured(options, Path(folder)))
    results = {part: [asdict(row) for row in rows] for part, rows in found.items()}
    write_json(options.out, {"machine": facts, "is_trial": options.device == "cpu", "results": results})
    print(f"\n{options.out} is written. For docs/benchmarks.md:\n")
    print("\n".join(table(facts, found)))
    return int(any(row.failed for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
