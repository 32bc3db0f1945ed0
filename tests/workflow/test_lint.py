"""snakemake --lint, but for what is meant: quick local rules run in the launcher, without a container."""

import re
import subprocess
import sys

from tests.support.search import ROOT


def test_every_rule_has_a_log_and_those_that_are_jobs_have_a_container():
    command = [sys.executable, "-m", "snakemake", "--lint", "--config", "container=image.sif"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lints = re.findall(r"Lints for rule (\w+) .*?:\n((?:    .*\n)+)", done.stdout + done.stderr)
    titles = {rule: re.findall(r"\* (.*):", text) for rule, text in lints}
    only = ["Specify a conda environment or container for each rule."]
    assert titles == dict.fromkeys(
        ("settings", "generate", "baseline", "pick", "control_baseline", "rank", "gather"), only
    )
