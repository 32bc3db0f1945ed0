# The only rule with configuration in its params: a stage's settings are a file, and what isn't in that
# file can't make the stage run again.


rule settings:
    output:
        PATHS.settings("{stage}"),
    log:
        f"{PATHS.results}/logs/settings/{{stage}}.log",
    container:
        None
    params:
        json=lambda wildcards: stages.settings_json(CONFIG, wildcards.stage),
    message:
        "settings of {wildcards.stage}"
    shell:
        "genenet settings {wildcards.stage:q} --json {params.json:q} --out {output:q} --log {log:q}"
