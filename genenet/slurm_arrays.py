"""A repair of Snakemake's Slurm plugin, without which job arrays and a limit on jobs in flight stall a search."""

from __future__ import annotations


def submit_what_may_run() -> None:
    """Let the plugin submit every set of jobs that Snakemake hands it, as one array.

    Of a rule with more ready jobs than the limit lets through at a time, the plugin waits for the others
    and never submits those it was given; they hold their places, and in the end nothing runs any more
    (snakemake-executor-plugin-slurm 2.8, issue 473). Told that no others are ready, it doesn't wait.
    """
    try:
        import snakemake_executor_plugin_slurm as plugin
    except ImportError:  # not on a cluster
        return
    if hasattr(plugin, "pending_jobs_for_rule"):
        plugin.pending_jobs_for_rule = lambda dag, rule_name: 0
