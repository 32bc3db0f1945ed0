# The report.


rule report:
    input:
        ranking=PATHS.ranking,
        tiffs=[PATHS.tiff(name) for name in VOLUMES],
        scores=[PATHS.volume_scores(name) for name in LABELLED],
        test=[PATHS.test_scores] if CONFIG.data.test else [],
        controls=[PATHS.control(name) for name in CONTROLS],
        refits=[PATHS.refits] if CONFIG.ensemble.refit else [],
        settings=PATHS.settings("report"),
    output:
        PATHS.report,
    log:
        f"{PATHS.results}/logs/report.log",
    params:
        results=lambda wildcards: PATHS.results,
    message:
        "write the report"
    shell:
        "genenet report --results {params.results:q} --settings {input.settings:q} --out {output:q} --log {log:q}"
