"""Cells of a long benchmark: each is computed once, stored in a JSON file that is committed, and read afterwards."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch

from bench_tools import parser
from genenet.core.atomic_files import write_json
from genenet.core.resources import keep_freed_memory

METRICS = ("ari", "mean_iou")


def main(doc, cells, compute, data_sets, variants):
    """Compute the cells that the command line asks for, each by ``compute(data, variant, seed)``; print the table."""
    arguments = parser(doc)
    arguments.add_argument("what", nargs="?", choices=["run", "table"], default="table")
    arguments.add_argument("--data", nargs="+", choices=data_sets, default=list(data_sets))
    arguments.add_argument(f"--{cells.variant}", nargs="+", choices=variants, default=list(variants))
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    if options.what == "run":
        cells.run(compute, options.data, getattr(options, cells.variant), options.seeds)
    cells.print_table(data_sets, variants)


@dataclass(frozen=True)
class Cells:
    """The cells of one benchmark.

    Attributes:
        path: of the JSON file.
        variant: key of what is compared (a recipe, a peer).
        reference: the variant that the others are compared with.
    """

    path: Path
    variant: str
    reference: str

    def read(self):
        """Return the cells by data set, variant and seed."""
        cells = json.loads(self.path.read_text()) if self.path.exists() else []
        return {(c["data"], c[self.variant], c["seed"]): c for c in cells}

    def run(self, compute, data_sets, variants, seeds):
        """Compute the cells that aren't done, seed by seed, and store each as soon as it is."""
        for seed in range(1, seeds + 1):
            for variant in variants:
                for data in data_sets:
                    if (data, variant, seed) in self.read():
                        continue
                    print(f"{data} {variant} seed {seed}", flush=True)
                    found = compute(data, variant, seed)
                    write_json(self.path, [*self.read().values(), found])
                    print(f"  test: {found['test']}", flush=True)

    def differences(self, variant, metric):
        """Return the differences to the reference on the test images, of the cells that both have."""
        cells = self.read()
        return [
            c["test"][metric] - cells[data, self.reference, seed]["test"][metric]
            for (data, name, seed), c in cells.items()
            if name == variant and (data, self.reference, seed) in cells
        ]

    def print_table(self, data_sets, variants):
        """Print the mean test scores of each variant on each data set, and its differences to the reference."""
        cells = self.read()
        sets = [name for name in data_sets if any(data == name for data, _, _ in cells)]
        against = f"minus {self.reference}, paired: ARI"
        print(f"| {self.variant} | " + " | ".join(sets) + f" | {against} | mean IoU | cells |")
        print("|---|" + "---|" * (len(sets) + 3))
        for variant in [name for name in variants if any(v == name for _, v, _ in cells)]:
            columns = []
            for name in sets:
                tests = [c["test"] for (data, v, _), c in cells.items() if (data, v) == (name, variant)]
                columns.append(
                    " / ".join(f"{statistics.mean(t[m] for t in tests):.3f}" for m in METRICS if tests)
                )
            paired = [self.differences(variant, metric) for metric in METRICS]
            n = sum(v == variant for _, v, _ in cells)
            print("|", " | ".join([variant, *columns, *map(with_error, paired), str(n)]), "|")


def with_error(values):
    """Write a mean with its standard error."""
    if len(values) < 2:
        return " ".join(f"{v:+.3f}" for v in values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.3f} ± {error:.3f}"
