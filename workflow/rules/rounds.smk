# Searches that train in steps: rungs of successive halving, rounds of evolution. The config gives the number of slots;
# the ranking of the previous rung decides which genome each slot continues with.


rule rung:
    input:
        genome=slot_genome,
        train=PATHS.data("train"),
        validation=PATHS.data("validation"),
        settings=genomes_settings,
        earlier=parents_of_round,
        start=START,
    output:
        PATHS.slot("{round}", "{iterations}", "{index}"),
    log:
        PATHS.slot_log("{round}", "{iterations}", "{index}"),
    threads: CONFIG.training.threads
    params:
        results=lambda wildcards: PATHS.results,
        slot=lambda wildcards: int(wildcards.index),
        after=rung_before_option,
        stop=stop_before_the_job_ends,
    message:
        "train slot {wildcards.index} of round {wildcards.round} up to iteration {wildcards.iterations}"
    shell:
        "genenet rung --results {params.results:q} --round {wildcards.round:q} --iterations {wildcards.iterations:q}"
        " --slot {params.slot:q} {params.after} --settings {input.settings:q} {params.stop} --log {log:q}"


rule rank:
    input:
        slots_of,
    output:
        PATHS.rung("{round}", "{iterations}"),
    log:
        f"{PATHS.results}/logs/rungs/r{{round}}/{{iterations}}.log",
    container:
        None
    params:
        results=lambda wildcards: PATHS.results,
        slots=lambda wildcards: rung_of(wildcards).n_slots,
    message:
        "rank round {wildcards.round} after {wildcards.iterations} iterations"
    shell:
        "genenet rank --results {params.results:q} --round {wildcards.round:q} --iterations {wildcards.iterations:q}"
        " --slots {params.slots:q} --log {log:q}"


rule gather:
    input:
        lambda wildcards: planned_packs.ends_of_trainings(
            CONFIG, ROUNDS[int(wildcards.round)], PATHS
        ),
    output:
        PATHS.round("{round}"),
    log:
        f"{PATHS.results}/logs/rounds/r{{round}}.log",
    container:
        None
    params:
        results=lambda wildcards: PATHS.results,
        genomes=lambda wildcards: ROUNDS[int(wildcards.round)].n_genomes,
    message:
        "gather the scores of round {wildcards.round}"
    shell:
        "genenet gather --results {params.results:q} --round {wildcards.round:q} --genomes {params.genomes:q}"
        " --out {output:q} --log {log:q}"
