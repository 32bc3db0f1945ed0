# The only rule with configuration in its params: a stage's settings are a file, and what isn't in that
# file can't make the stage run again.


rule settings:
    output:
        PATHS.settings("{stage}"),
    log:
        f"{PATHS.results}/logs/settings/{{stage}}.log",
    params:
        json=lambda wildcards: stages.stage_settings(
            CONFIG, wildcards.stage
        ).model_dump_json(),
    message:
        "settings of {wildcards.stage}"
    shell:
        "genenet settings {wildcards.stage} --json {params.json:q} --out {output} > {log} 2>&1"
