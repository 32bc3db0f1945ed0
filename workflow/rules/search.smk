# Genomes, and one training for each: the jobs that need GPUs.


rule generate:
    input:
        PATHS.settings("generate"),
    output:
        PATHS.genome("r{round}/{index}"),
    log:
        f"{PATHS.results}/logs/generate/r{{round}}/{{index}}.log",
    message:
        "draw genome r{wildcards.round}/{wildcards.index}"
    shell:
        "genenet generate --settings {input} --round {wildcards.round} --index {wildcards.index}"
        " --out {output} --log {log}"


rule baseline:
    input:
        PATHS.settings("baseline_{baseline}"),
    output:
        PATHS.genome("baselines/{baseline}"),
    log:
        f"{PATHS.results}/logs/generate/baselines/{{baseline}}.log",
    message:
        "write the baseline {wildcards.baseline}"
    shell:
        "genenet generate --settings {input} --out {output} --log {log}"


rule train:
    input:
        genome=PATHS.genome("{run}"),
        train=PATHS.data("train"),
        validation=PATHS.data("validation"),
        settings=PATHS.settings("train"),
    output:
        RUN.outputs(),
    log:
        f"{PATHS.results}/logs/train/{{run}}.log",
    threads: CONFIG.training.threads
    params:
        out=str(RUN.folder),
    message:
        "train {wildcards.run}"
    shell:
        "genenet train --genome {input.genome} --train {input.train} --validation {input.validation}"
        " --settings {input.settings} --out {params.out} --log {log}"
