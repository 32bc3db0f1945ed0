"""What a search costs until it is as good as the whole random search: recorded once, replayed as often as wanted.

python benchmarks/search.py record [platelet] [phantom] --work FOLDER [--genomes 60] [--iterations 540]
python benchmarks/search.py tabulate [platelet] [phantom] --work FOLDER
python benchmarks/search.py replay [platelet] [phantom] [--seeds 1000] [--only NAME]
python benchmarks/search.py evolve --work FOLDER [--seeds 5] [--only NAME]

``record`` trains random genomes (search_curves.py; three quarters of an hour of one core for a data set). ``tabulate``
scores all ensembles of up to four of them (search_tables.py; minutes). ``replay`` reads only what these left in
benchmarks/data, and needs Optuna (pip install genenet[bench]); search_replay.py explains what it counts. ``evolve``
does whole searches on a phantom: random, evolution, and evolution with inherited weights (search_evolve.py; a quarter
of an hour for a seed). The platelet slice is looked for as in quality.py.
"""

from pathlib import Path

from bench_tools import parser
from search_curves import record
from search_evolve import evolve
from search_replay import show
from search_tables import FOLDER, read, tabulate

STEPS = {
    "record": lambda data, o: record(data, o.work / data, o.genomes, o.iterations, o.processes),
    "tabulate": lambda data, o: tabulate(data, o.work / data, o.processes, o.tables),
    "replay": lambda data, o: show(read(data, o.tables), data, o.seeds or 1000, o.only, o.processes),
}


def main():
    """Do what the command line asks for, for one data set after the other."""
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=[*STEPS, "evolve"])
    arguments.add_argument("data", nargs="*", default=["platelet", "phantom"])
    arguments.add_argument("--work", type=Path, help="folder that record writes and tabulate reads")
    arguments.add_argument("--tables", type=Path, default=FOLDER, help="instead of benchmarks/data")
    arguments.add_argument("--genomes", type=int, default=60)
    arguments.add_argument("--iterations", type=int, default=540)
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--seeds", type=int, help="default: 1000 of replay, 5 of evolve")
    arguments.add_argument(
        "--only",
        default="",
        help="start of the names of the strategies to replay, or of the searches of evolve",
    )
    options = arguments.parse_args()
    if options.what != "replay" and options.work is None:
        arguments.error("--work FOLDER is needed")
    if options.what == "evolve":
        evolve(options.work, options.seeds or 5, options.only)
    else:
        for data in options.data:
            STEPS[options.what](data, options)


if __name__ == "__main__":
    main()
