# Genomes, and one training for each of them. The trainings need GPUs.


if not CONFIG.search.members:

    localrules:
        generate,

    rule generate:
        input:
            settings=lambda wildcards: PATHS.settings(
                "breed" if is_bred(wildcards) else "generate"
            ),
            earlier=earlier_rounds,
        output:
            PATHS.genome("r{round}/{index}"),
        log:
            f"{PATHS.results}/logs/generate/r{{round}}/{{index}}.log",
        container:
            None
        params:
            parents=lambda wildcards: (
                f"--results {quote(str(PATHS.results))}" if is_bred(wildcards) else ""
            ),
        message:
            "make genome r{wildcards.round}/{wildcards.index}"
        shell:
            "genenet generate --settings {input.settings:q} {params.parents} --round {wildcards.round:q}"
            " --index {wildcards.index:q} --out {output:q} --log {log:q}"


rule baseline:
    input:
        lambda wildcards: PATHS.settings(
            planned_runs.baseline_stage(wildcards.baseline)
        ),
    output:
        PATHS.genome("baselines/{baseline}"),
    log:
        f"{PATHS.results}/logs/generate/baselines/{{baseline}}.log",
    container:
        None
    message:
        "write the baseline {wildcards.baseline}"
    shell:
        "genenet generate --settings {input:q} --out {output:q} --log {log:q}"


rule train:
    input:
        genome=PATHS.genome("{run}"),
        train=training_images("train"),
        validation=training_images("validation"),
        settings=lambda wildcards: PATHS.settings(
            planned_runs.train_stage(wildcards.run, ROUNDS)
        ),
        earlier=lambda wildcards: parents_of(wildcards.run),
        start=START,
    output:
        PATHS.run(TRAINING).outputs(),
    log:
        PATHS.train_log(TRAINING),
    wildcard_constraints:
        run=ALONE,
    threads: CONFIG.training.threads
    params:
        out=str(PATHS.run(TRAINING).folder),
        stop=stop_before_the_job_ends,
    message:
        f"train {TRAINING.replace('{', '{wildcards.')}"
    shell:
        "genenet train --genome {input.genome:q} --train {input.train:q} --validation {input.validation:q}"
        f" --settings {{input.settings:q}} --results {quote(str(PATHS.results))} --out {{params.out:q}} {{params.stop}}"
        " --log {log:q}"
