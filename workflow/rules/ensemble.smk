# Ranking, best-k curve and the ensemble, on the CPU.


rule select:
    input:
        rounds=[
            path
            for each in ROUNDS
            for path in planned_packs.ends_of_trainings(CONFIG, each, PATHS)
        ],
        baselines=[
            path
            for run in planned_runs.baseline_runs(CONFIG)
            for path in PATHS.run(run).outputs()
        ],
        genomes=[PATHS.genome(run) for run in RUNS],
        train=PATHS.data("train"),
        validation=PATHS.data("validation"),
        settings=PATHS.settings("select"),
    output:
        ensemble=directory(PATHS.selected if CONFIG.ensemble.refit else PATHS.ensemble),
        ranking=PATHS.ranking,
        curve=PATHS.curve,
        strategies=PATHS.strategies,
        anytime=PATHS.anytime,
    log:
        f"{PATHS.results}/logs/select.log",
    params:
        runs=[f"r{each.number}:{each.n_genomes}" for each in ROUNDS]
        + planned_runs.baseline_runs(CONFIG),
        results=lambda wildcards: PATHS.results,
    message:
        "rank the networks and choose the ensemble"
    shell:
        "genenet select {params.runs:q} --results {params.results:q} --settings {input.settings:q} --log {log:q}"


rule test:
    input:
        ensemble=PATHS.ensemble,
        selected=[PATHS.selected] if CONFIG.ensemble.refit else [],
        strategies=PATHS.strategies,
        data=PATHS.data("test"),
        settings=PATHS.settings("test"),
    output:
        PATHS.test_scores,
    log:
        f"{PATHS.results}/logs/test.log",
    threads: ENSEMBLE_THREADS
    params:
        results=lambda wildcards: PATHS.results,
        before=lambda wildcards: (
            f"--before {quote(PATHS.selected)}" if CONFIG.ensemble.refit else ""
        ),
    message:
        "score the ensemble on the test images"
    shell:
        "genenet evaluate --ensemble {input.ensemble:q} --data {input.data:q} --settings {input.settings:q}"
        " --results {params.results:q} {params.before} --out {output:q} --threads {threads} --log {log:q}"
