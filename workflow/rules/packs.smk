# Many trainings in one job (training.per_job). A pack is a span of genomes, or of slots of a rung. What its job declares
# is a receipt: Snakemake deletes declared outputs before it runs a job again, and the results of finished trainings have
# to survive that. With training.per_job: 1 the rules train and rung are used instead.


rule train_pack:
    input:
        genomes=lambda wildcards: [
            PATHS.genome(run_name(int(wildcards.round), index))
            for index in of_span(wildcards.span)
        ],
        train=training_images("train"),
        validation=training_images("validation"),
        settings=genomes_settings,
        earlier=parents_of_round,
        start=START,
    output:
        PATHS.pack("{round}", "{span}", "{fold}" if FOLDS else None),
    log:
        PATHS.pack_log("{round}", "{span}", "{fold}" if FOLDS else None),
    threads: CONFIG.training.per_job * CONFIG.training.threads
    params:
        results=lambda wildcards: PATHS.results,
        fold=lambda wildcards: f"--fold {wildcards.fold}" if FOLDS else "",
        stop=stop_before_the_job_ends,
    message:
        "train the genomes {wildcards.span} of round {wildcards.round}"
    shell:
        "genenet train-pack --results {params.results:q} --round {wildcards.round:q} --span {wildcards.span:q}"
        " --settings {input.settings:q} {params.fold} --receipt {output:q} --cores {threads} {params.stop} --log {log:q}"


rule rung_pack:
    input:
        genomes=lambda wildcards: list(
            dict.fromkeys(
                slot_genome(slot_of(wildcards, slot))
                for slot in of_span(wildcards.span)
            )
        ),
        train=PATHS.data("train"),
        validation=PATHS.data("validation"),
        settings=genomes_settings,
        earlier=parents_of_round,
        start=START,
    output:
        PATHS.rung_pack("{round}", "{iterations}", "{span}"),
    log:
        f"{PATHS.results}/logs/packs/rungs/r{{round}}/{{iterations}}/{{span}}.log",
    threads: CONFIG.training.per_job * CONFIG.training.threads
    params:
        results=lambda wildcards: PATHS.results,
        after=rung_before_option,
        stop=stop_before_the_job_ends,
    message:
        "train the slots {wildcards.span} of round {wildcards.round} up to iteration {wildcards.iterations}"
    shell:
        "genenet train-pack --results {params.results:q} --round {wildcards.round:q} --span {wildcards.span:q}"
        " --iterations {wildcards.iterations:q} {params.after} --settings {input.settings:q} --receipt {output:q}"
        " --cores {threads} {params.stop} --log {log:q}"
