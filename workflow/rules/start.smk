# What trainings start from (training.start): the networks of a finished search, or the members of an ensemble. Their
# checksum is among the settings, so that other weights start trainings again, and copied files don't.

if CONFIG.start:

    localrules:
        start_weights,

    rule start_weights:
        input:
            given=ancient(start_inputs),
            settings=PATHS.settings("start"),
        output:
            PATHS.start,
        log:
            f"{PATHS.results}/logs/start.log",
        container:
            None
        message:
            "list the networks that trainings start from"
        shell:
            "genenet start-weights --settings {input.settings:q} --out {output:q} --log {log:q}"


if CONFIG.search.members:

    localrules:
        member,

    rule member:
        input:
            PATHS.start,
        output:
            PATHS.genome("r{round}/{index}"),
        log:
            f"{PATHS.results}/logs/generate/r{{round}}/{{index}}.log",
        container:
            None
        message:
            "copy genome r{wildcards.round}/{wildcards.index} from the ensemble"
        shell:
            "genenet member --start {input:q} --index {wildcards.index:q} --out {output:q} --log {log:q}"
