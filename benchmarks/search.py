"""What a search costs until it is as good as the whole random search: recorded once, replayed as often as wanted.

python benchmarks/search.py record [platelet|phantom] --work FOLDER [--genomes 60] [--iterations 540] [--processes 2]
python benchmarks/search.py tabulate [platelet|phantom] --work FOLDER [--processes 2]
python benchmarks/search.py replay [platelet|phantom] [--seeds 1000] [--only NAME] [--processes 2]
python benchmarks/search.py evolve --work FOLDER [--seeds 5]

``record`` trains (three quarters of an hour of one core for a data set, see search_curves.py), ``tabulate`` scores all
ensembles of up to four of what was trained (minutes, see search_tables.py), ``replay`` needs what these left in
benchmarks/data only, and Optuna (pip install genenet[bench]); what it counts is said in search_replay.py. The platelet
slice is looked for as in quality.py. ``evolve`` does whole searches on a phantom, random and
evolution, with as many iterations (see search_evolve.py): half an hour.
"""

import argparse
from pathlib import Path

DATA = ["platelet", "phantom"]


def main():
    """Do what the command line says, for one data set after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["record", "tabulate", "replay", "evolve"])
    parser.add_argument("data", nargs="*", default=DATA)
    parser.add_argument("--work", type=Path, help="folder that is written by record and read by tabulate")
    parser.add_argument(
        "--tables", type=Path, default=Path(__file__).parent / "data", help="instead of benchmarks/data"
    )
    parser.add_argument("--genomes", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=540)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, help="1000 replays, 5 searches")
    parser.add_argument("--only", default="", help="strategies whose name begins so")
    options = parser.parse_args()
    if options.what != "replay" and options.work is None:
        parser.error("--work FOLDER is needed")
    if options.what == "evolve":
        from search_evolve import evolve

        evolve(options.work, options.seeds or 5)
        return
    for data in options.data:
        if options.what == "record":
            from search_curves import record

            record(data, options.work / data, options.genomes, options.iterations, options.processes)
        elif options.what == "tabulate":
            from search_tables import tabulate

            tabulate(data, options.work / data, options.processes, options.tables)
        else:
            from search_replay import show
            from search_tables import read

            show(read(data, options.tables), data, options.seeds or 1000, options.only, options.processes)


if __name__ == "__main__":
    main()
