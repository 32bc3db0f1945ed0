"""What all benchmarks share: the clone on the path, times of calls and commands, peaks of memory, means with spreads.

A benchmark runs from a clone whose requirements are installed; genenet itself need not be installed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
GENENET = [sys.executable, "-m", "genenet"]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def parser(doc):
    """Return a parser of the command line whose help is the docstring of the benchmark."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def volume_shape(text):
    """Read ``ZxYxX``, a command line's way to write a shape."""
    return tuple(int(size) for size in text.split("x"))


def in_process(function, *arguments):
    """Call a function in a fresh process, so that it starts without memory or caches of others; return its result."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def timed(function, *arguments):
    """Return the wall time of a call in seconds."""
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def rate(function, seconds, least=1):
    """Call a function again and again for some time, and ``least`` times at least; return the calls per second."""
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or n < least:
        function()
        n += 1
    return n / (time.perf_counter() - began)


def alternating(rounds, measures):
    """Measure each variant in turn, again and again, so that a machine that slows down favours none.

    Args:
        rounds: number of times.
        measures: functions without arguments, by name.

    Returns:
        The median by name.
    """
    found = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def command_times(command, runs, before=lambda: None, allowed=(0,), **options):
    """Run a command several times, after one run to warm up; return the wall and the processor times in seconds.

    Args:
        command: the command.
        runs: number of times.
        before: is called before each run, and isn't timed.
        allowed: exit codes of success.
        options: are passed to ``subprocess.run``.
    """
    walls, processors = [], []
    for _ in range(runs + 1):
        before()
        began, used = time.monotonic(), sum(os.times()[2:4])
        done = subprocess.run(command, check=False, capture_output=True, **options)
        walls.append(time.monotonic() - began)
        processors.append(sum(os.times()[2:4]) - used)
        assert done.returncode in allowed, done.stderr.decode()
    return walls[1:], processors[1:]


def print_times(commands, runs, reference, **options):
    """Print the times of commands (by name), and their ratios to those of one of them."""
    times = {what: command_times(command, runs, **options) for what, command in commands.items()}
    wall, processor = (statistics.median(values) for values in times[reference])
    print(f"{'':26} {'least':>8} {'median':>8} {'CPU':>8}   ratios to {reference}: median, CPU")
    for what, (walls, processors) in times.items():
        median, used = statistics.median(walls), statistics.median(processors)
        columns = f"{min(walls):6.2f} s {median:6.2f} s {used:6.2f} s"
        print(f"{what:26} {columns}   {median / wall:5.2f} {used / processor:5.2f}")


def anonymous_memory(pid="self"):
    """Return the anonymous memory of a process in MiB, 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


@contextmanager
def peak_memory(pid="self", interval=0.01):
    """Watch the anonymous memory of a process; the yielded list holds its peak in MiB."""
    peak, stop = [anonymous_memory(pid)], threading.Event()

    def watch():
        while not stop.wait(interval):
            peak[0] = max(peak[0], anonymous_memory(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def mean_and_spread(values, form=".3f"):
    """Return mean and standard deviation as text; the mean alone for one value."""
    spread = f" ± {statistics.stdev(values):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}"


def bfloat16_instructions():
    """Return the processor's instructions for bfloat16; without any, it emulates bfloat16, ten times as slowly."""
    from genenet.networks.device import processor

    return sorted(processor() & {"avx512_bf16", "amx_bf16"})


def processor_name():
    """Return the processor's model, and the precision that trainings compute in on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return f"{model}, {precisions()[-1]}"


def precisions():
    """Return the precisions that this processor computes in."""
    return ("float32", "bfloat16") if bfloat16_instructions() else ("float32",)
