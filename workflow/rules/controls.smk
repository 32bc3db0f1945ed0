# Controls: one architecture with several seeds, and one long training, which the report compares the ensemble with.
# Their trainings are done by the rule train.


rule pick:
    input:
        rounds=[
            path
            for each in ROUNDS
            for path in planned_packs.ends_of_trainings(CONFIG, each, PATHS)
        ],
        # another ensemble of the same trainings has the same best network, unless the metric is another one
        ranking=ancient(PATHS.ranking),
        settings=PATHS.settings("pick"),
    output:
        PATHS.genome("controls/best_{repeat}"),
    log:
        f"{PATHS.results}/logs/generate/controls/best_{{repeat}}.log",
    wildcard_constraints:
        repeat=r"\d+",
    container:
        None
    params:
        results=lambda wildcards: PATHS.results,
    message:
        "copy the genome of the best network, for its training {wildcards.repeat}"
    shell:
        "genenet pick --results {params.results:q} --out {output:q} --log {log:q}"


rule control_baseline:
    input:
        lambda wildcards: PATHS.settings(f"baseline_{wildcards.baseline}"),
    output:
        PATHS.genome("controls/{baseline}_{repeat}"),
    log:
        f"{PATHS.results}/logs/generate/controls/{{baseline}}_{{repeat}}.log",
    wildcard_constraints:
        baseline="|".join(CONFIG.baselines.chosen()) or "none",
        repeat=r"\d+|long",
    container:
        None
    message:
        "write the baseline {wildcards.baseline} for its training {wildcards.repeat}"
    shell:
        "genenet generate --settings {input:q} --out {output:q} --log {log:q}"


rule control:
    input:
        trainings=control_trainings,
        genomes=control_genomes,
        validation=PATHS.data("validation"),
        test=[PATHS.data("test")] if CONFIG.data.test else [],
        ranking=ancient(PATHS.ranking),
        # for the normalisation of networks that learned from the training images
        ensemble=ancient(PATHS.selected if CONFIG.ensemble.refit else PATHS.ensemble),
        settings=PATHS.settings("control_{control}"),
    output:
        PATHS.control("{control}"),
    log:
        f"{PATHS.results}/logs/controls/{{control}}.log",
    threads: ENSEMBLE_THREADS
    params:
        results=lambda wildcards: PATHS.results,
    message:
        "score the control {wildcards.control}"
    shell:
        "genenet control --results {params.results:q} --settings {input.settings:q} --ensemble {input.ensemble:q}"
        " --out {output:q} --threads {threads} --log {log:q}"
