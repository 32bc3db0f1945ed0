"""What a search costs until it is as good as the whole random search: recorded once, replayed as often as wanted.

python benchmarks/search.py record [platelet] [phantom] --work FOLDER [--genomes 60] [--iterations 540]
python benchmarks/search.py tabulate [platelet] [phantom] --work FOLDER
python benchmarks/search.py replay [platelet] [phantom] [--seeds 1000] [--only NAME]
python benchmarks/search.py evolve --work FOLDER [--seeds 5]

``record`` trains random genomes (search_curves.py; three quarters of an hour of one core for a data set). ``tabulate``
scores all ensembles of up to four of them (search_tables.py; minutes). ``replay`` reads only what these left in
benchmarks/data, and needs Optuna (pip install genenet[bench]); search_replay.py explains what it counts. ``evolve``
does whole searches on a phantom, random and evolution (search_evolve.py; half an hour). The platelet slice is looked
for as in quality.py.
"""

from pathlib import Path

from bench_tools import parser


def record(data, options):
    """Train the genomes that have not been trained yet."""
    from search_curves import record

    record(data, options.work / data, options.genomes, options.iterations, options.processes)


def tabulate(data, options):
    """Score all ensembles of the trained genomes."""
    from search_tables import tabulate

    tabulate(data, options.work / data, options.processes, options.tables)


def replay(data, options):
    """Search in the recorded genomes, by each strategy."""
    from search_replay import show
    from search_tables import read

    show(read(data, options.tables), data, options.seeds or 1000, options.only, options.processes)


def main():
    """Do what the command line asks for, for one data set after the other."""
    steps = {"record": record, "tabulate": tabulate, "replay": replay}
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=[*steps, "evolve"])
    arguments.add_argument("data", nargs="*", default=["platelet", "phantom"])
    arguments.add_argument("--work", type=Path, help="folder that record writes and tabulate reads")
    tables = Path(__file__).parent / "data"
    arguments.add_argument("--tables", type=Path, default=tables, help="instead of benchmarks/data")
    arguments.add_argument("--genomes", type=int, default=60)
    arguments.add_argument("--iterations", type=int, default=540)
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--seeds", type=int, help="default: 1000 of replay, 5 of evolve")
    arguments.add_argument("--only", default="", help="start of the names of the strategies to replay")
    options = arguments.parse_args()
    if options.what != "replay" and options.work is None:
        arguments.error("--work FOLDER is needed")
    if options.what == "evolve":
        from search_evolve import evolve

        evolve(options.work, options.seeds or 5)
    else:
        for data in options.data:
            steps[options.what](data, options)


if __name__ == "__main__":
    main()
