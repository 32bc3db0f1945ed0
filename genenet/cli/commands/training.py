"""Commands for trainings, and for the selection of the ensemble."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genenet.cli.commands import BY_HAND, SEARCH, Settings, app, user_errors_exit_with_2
from genenet.core import exit_codes


@app.command(rich_help_panel=BY_HAND)
def train(
    genome: Annotated[Path, typer.Option(help="a genome's JSON file")],
    train: Annotated[Path, typer.Option(help="prepared training images")],
    validation: Annotated[Path, typer.Option(help="prepared validation images")],
    settings: Settings,
    out: Annotated[Path, typer.Option("--out", help="the run's folder")],
    stop_after_minutes: Annotated[
        float | None, typer.Option(min=0, help="then write a checkpoint and exit with 75")
    ] = None,
) -> None:
    """Train one genome; run again after an interruption, it continues from its last checkpoint."""
    from genenet.cli.progress import show_training
    from genenet.config.stages import TrainSettings, read_settings
    from genenet.core.paths import RunPaths
    from genenet.core.resources import keep_freed_memory
    from genenet.genes.genome import read_genome
    from genenet.training.run import TrainingRun
    from genenet.training.stopping import Stop

    keep_freed_memory()
    with user_errors_exit_with_2():
        chosen, values = read_genome(genome), read_settings(settings, TrainSettings)
        run = TrainingRun(chosen, train, validation, values, RunPaths(out))
        with show_training(chosen.name) as show, Stop(stop_after_minutes).on_signals() as stop:
            finished = run.run(stop, show)
    if not finished:
        sys.exit(exit_codes.STOPPED)


@app.command(rich_help_panel=BY_HAND)
def select(
    runs: Annotated[
        list[str],
        typer.Argument(help="names of runs: r0/000, baselines/unet2015; r0:80 is r0/000 to r0/079"),
    ],
    results: Annotated[Path, typer.Option(help="the results folder that they are in")],
    settings: Settings,
) -> None:
    """Rank the runs, compute the best-k curve, write the ensemble."""
    from genenet.config.rounds import expanded
    from genenet.config.stages import SelectSettings, read_settings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.select import select as run

    run(ResultPaths(results), expanded(runs), read_settings(settings, SelectSettings))


@app.command(rich_help_panel=SEARCH)
def submit(
    config: Annotated[Path, typer.Argument(help="a config.yaml")] = Path("config.yaml"),
    cluster: Annotated[
        str | None, typer.Option(help="slurm or local; slurm, if sbatch is on the PATH")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm: partition")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm: account")] = None,
    gpu: Annotated[
        str,
        typer.Option(
            help="Slurm: options of sbatch that ask for a GPU, such as gpus=v100x:1 or gres=gpu:v100x:1,lscratch:100"
        ),
    ] = "",
    minutes: Annotated[
        int, typer.Option(min=1, help="Slurm: time limit of a job; a longer training goes on in the next")
    ] = 240,
    mem_gb: Annotated[int, typer.Option(min=1, help="Slurm: memory of a job in GB")] = 16,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="trainings at a time; all on Slurm, as many as there are cores for on this machine"
        ),
    ] = None,
    container: Annotated[
        str | None, typer.Option(help="image that genenet runs in, instead of the config's; '' for none")
    ] = None,
    container_args: Annotated[
        str, typer.Option(help="options of apptainer exec besides --nv, such as '--bind /data/em'")
    ] = "",
    wait: Annotated[bool, typer.Option(help="tell how each training ends (Slurm)")] = True,
) -> None:
    """Train all networks of a search without Snakemake: one job array on Slurm, or local processes."""
    from genenet.cluster.launch import submit as run
    from genenet.cluster.submitit_launcher import Options

    options = Options(
        cluster, partition, account, gpu, minutes, mem_gb, jobs, container, container_args, wait
    )
    sys.exit(0 if run(config, options) else 1)


@app.command(rich_help_panel=SEARCH)
def retry(
    results: Annotated[Path, typer.Argument(help="the results folder")] = Path("results"),
    names: Annotated[
        list[str] | None,
        typer.Argument(help="trainings such as r0/003; without names, all that have the status"),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="what is taken up again; may be repeated. Default: unfinished, failed, out_of_memory"
        ),
    ] = None,
) -> None:
    """Take up again what was given up, when its cause is gone: trainings and parts of segmentations."""
    from genenet.core.paths import ResultPaths
    from genenet.search.retry import find
    from genenet.search.retry import retry as run
    from genenet.training.outcomes import check_statuses

    statuses = check_statuses(status)
    found = find(ResultPaths(results), statuses, names or ())
    for each in found:
        left = f"; it is left as it is: {each.obstacle}" if each.obstacle else ""
        print(f"{each.name}: {each.status}: {each.reason}{left}")
    run(found)
    n = sum(not each.obstacle for each in found)
    if n:
        print(f"{n} will be done again when the workflow, or genenet submit, is started again")
    else:
        print(f"{results}: nothing to take up again with status {', '.join(statuses)}")
