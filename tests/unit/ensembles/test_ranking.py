"""``ranking.csv`` has a column for each metric of the table."""

from pathlib import Path

import pytest

from genenet.core.atomic_files import read_csv
from genenet.core.paths import ResultPaths
from genenet.ensembles.ranking import write_ranking
from genenet.metrics.table import METRICS
from genenet.training.outcomes import Outcome
from genenet.training.scores import scores_of


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_in_the_ranking(tmp_path: Path, metric: str) -> None:
    paths = ResultPaths(tmp_path)
    outcomes = []
    for index, values in enumerate([{"status": "ok", "validation": {metric: 0.25}}, {"status": "failed"}]):
        run = f"r0/{index:03d}"
        outcomes.append(
            Outcome(
                run=run,
                files=paths.run(run),
                genome_file=Path(paths.genome(run)),
                phase="done",
                scores=scores_of(values, "scores.json"),
            )
        )
    write_ranking(tmp_path / "ranking.csv", outcomes)
    first, second = read_csv(tmp_path / "ranking.csv")
    column = "validation_ari" if metric == "ari" else metric
    assert (first[column], second[column]) == ("0.25", "")
    assert (first["rank"], first["status"], second["status"]) == ("1", "ok", "failed")
