"""The long real-data runs, in full, and their table: ``make acceptance``. Up to ten minutes each on two cores.

Writes to ``results-acceptance/``; run again, it does what is missing. Exits with 1 if a promise isn't kept.
"""

import csv
import json
import shutil
import sys
import time

from rich.console import Console
from rich.table import Table

from tests.support.search import ROOT, Search, data_folder

LIMIT_SECONDS = 600
PLATELET_ARI = 0.72


def run(name):
    """Run one config in full; return the search and how long it took."""
    folder = ROOT / "results-acceptance" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    search = Search(folder, f"{name}.yaml")
    began = time.monotonic()
    search.snakemake()
    return search, time.monotonic() - began


def show(name, search, seconds):
    """Print the ranking and the ensemble; return the ensemble's description."""
    ensemble = json.loads((search.results / "ensemble/ensemble.json").read_text())
    members = {member["run"] for member in ensemble["members"]}
    table = Table(
        "run",
        "validation ARI",
        "mean IoU",
        "parameters",
        "best iteration",
        "seconds",
        "",
        title=f"{name}, {seconds:.0f} s",
    )
    with (search.results / "ranking.csv").open() as file:
        for row in csv.DictReader(file):
            scores = json.loads((search.results / "runs" / row["run"] / "scores.json").read_text())
            cells = (
                f"{float(row['validation_ari']):.4f}",
                f"{float(row['mean_iou']):.4f}",
                row["n_parameters"],
            )
            table.add_row(
                row["run"],
                *cells,
                str(scores["best_iteration"]),
                row["seconds"],
                "*" * (row["run"] in members),
            )
    best = ensemble["validation"]
    table.add_row(
        f"ensemble of {len(members)}", f"{best['ari']:.4f}", f"{best['mean_iou']:.4f}", "", "", "", ""
    )
    if (search.results / "test_scores.json").exists():
        test = json.loads((search.results / "test_scores.json").read_text())
        table.add_row(
            "ensemble, test images", f"{test['ari']:.4f}", f"{test['mean_iou']:.4f}", "", "", "", ""
        )
    Console(width=110).print(table)
    return ensemble


def main():
    """Run both, print their tables, and say which promises are kept."""
    if data_folder() is None:
        sys.exit("the real EM data is neither in ../shared/data nor in $GENENET_TEST_DATA")
    promises = {}
    for name in sys.argv[1:] or ("platelet", "flyem"):
        search, seconds = run(name)
        ensemble = show(name, search, seconds)
        ari, single = ensemble["validation"]["ari"], ensemble["members"][0]["validation_ari"]
        promises[f"{name}: at most {LIMIT_SECONDS} s"] = seconds <= LIMIT_SECONDS
        promises[f"{name}: averaging {len(ensemble['members'])} networks beats the best single one"] = (
            len(ensemble["members"]) > 1 and ari >= single
        )
        if name == "platelet":
            promises[f"{name}: ensemble's validation ARI at least {PLATELET_ARI}"] = ari >= PLATELET_ARI
    for promise, kept in promises.items():
        print("kept  " if kept else "BROKEN", promise)
    sys.exit(not all(promises.values()))


if __name__ == "__main__":
    main()
