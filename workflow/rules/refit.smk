# The members of the ensemble are trained anew on all labelled images (ensemble.refit). The config gives the largest
# number of members; a rank without a member ends at once.


rule refit:
    input:
        selected=PATHS.selected,
        data=PATHS.data("refit"),
        settings=PATHS.settings("refit"),
        start=START,
    output:
        PATHS.refit("{index}"),
    log:
        PATHS.train_log("refit/{index}"),
    threads: CONFIG.training.threads
    params:
        results=lambda wildcards: PATHS.results,
        rank=lambda wildcards: int(wildcards.index),
        stop=stop_before_the_job_ends,
    message:
        "train member {wildcards.index} of the ensemble on all labelled images"
    shell:
        "genenet refit --results {params.results:q} --rank {params.rank:q} --settings {input.settings:q}"
        " {params.stop} --log {log:q}"


if CONFIG.ensemble.refit:

    rule refit_ensemble:
        input:
            selected=PATHS.selected,
            refits=[PATHS.refit(rank) for rank in planned_runs.refit_ranks(CONFIG)],
            data=PATHS.data("refit"),
            settings=PATHS.settings("select"),
        output:
            ensemble=directory(PATHS.ensemble),
            refits=PATHS.refits,
        log:
            f"{PATHS.results}/logs/refit_ensemble.log",
        params:
            results=lambda wildcards: PATHS.results,
        message:
            "write the ensemble of the refitted members"
        shell:
            "genenet refit-ensemble --results {params.results:q} --settings {input.settings:q} --log {log:q}"
