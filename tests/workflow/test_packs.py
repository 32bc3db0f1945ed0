"""Searches whose jobs train several genomes (``training.per_job``): what runs, what is kept, and what is trained."""

import json

import pytest

from tests.support import runs
from tests.support.search import Search

pytestmark = [pytest.mark.workflow, pytest.mark.process, pytest.mark.xdist_group("packs")]

THREE = "search: {n_genomes: 3}"
RANKING = "results/ranking.csv"
OF_A_TRAINING = ("model.safetensors", "history.csv", "validation.zarr.zip", "scores.json")


def search_in(folder, *overlays):
    search = Search(folder, "small.yaml")
    for index, text in enumerate((THREE, *overlays)):
        search.add(f"config{index}.yaml", text)
    return search


def files(search, run):
    return [search.results / f"runs/{run}/{name}" for name in OF_A_TRAINING]


def times(search, *names):
    return [path.stat().st_mtime_ns for name in names for path in files(search, name)]


def weights(search, run):
    return (search.results / f"runs/{run}/model.safetensors").read_bytes()


def endings(search, run):
    record = json.loads((search.results / f"runs/{run}/attempts.json").read_text())
    return [attempt["ending"] for attempt in record["attempts"]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each training in a job of its own, up to the ranking."""
    search = search_in(tmp_path_factory.mktemp("alone"))
    search.snakemake(RANKING)
    return search


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Two trainings in a job, up to the ranking."""
    search = search_in(tmp_path_factory.mktemp("packed"), "training: {per_job: 2}")
    search.output = search.snakemake(RANKING)
    return search


def test_packed_trainings_give_the_same_weights_as_trainings_alone(alone, packed):
    assert "train_pack" in packed.output
    for run in ("r0/000", "r0/001", "r0/002"):
        assert weights(packed, run) == weights(alone, run)
        assert endings(packed, run) == ["finished"]
        log = (packed.results / f"logs/train/{run}.log").read_text()
        assert f"--genome results/genomes/{run}.json" in log
    receipts = sorted((packed.results / "packs/r0").iterdir())
    assert [path.name for path in receipts] == ["000-001.json", "002-002.json"]
    assert json.loads(receipts[0].read_text())["trainings"] == ["r0/000", "r0/001"]


def test_another_number_in_a_job_trains_nothing(alone, packed):
    for search, overlay, rule in ((alone, "training: {per_job: 2}", "train_pack"), (packed, "{}", None)):
        before, configs = times(search, "r0/000", "r0/001", "r0/002"), list(search.configs)
        if rule:
            search.add("packs.yaml", overlay)
        else:  # from packs to jobs of their own
            search.configs = search.configs[:1]
        output = search.snakemake(RANKING)
        assert ("train_pack" in output) == bool(rule)
        assert times(search, "r0/000", "r0/001", "r0/002") == before
        assert [endings(search, f"r0/00{i}") for i in range(3)] == [["finished"]] * 3
        search.configs = configs
    assert (
        "2 trainings in this job, 2 of them have ended already"
        in (alone.results / "logs/packs/r0/000-001.log").read_text()
    )


def test_one_more_genome_trains_only_that_one(packed):
    packed.snakemake(RANKING)
    before = times(packed, "r0/000", "r0/001", "r0/002")
    packed.add("more.yaml", "search: {n_genomes: 4}")
    output = packed.snakemake(RANKING)
    assert "r0_003" in output
    assert times(packed, "r0/000", "r0/001", "r0/002") == before
    assert endings(packed, "r0/003") == ["finished"]
    assert endings(packed, "r0/002") == ["finished"]


def test_results_that_were_removed_are_made_again(packed):
    before = times(packed, "r0/001")
    for path in (*files(packed, "r0/000"), packed.results / "ranking.csv"):
        path.unlink()
    packed.snakemake(RANKING)
    assert all(path.exists() for path in files(packed, "r0/000"))
    assert times(packed, "r0/001") == before


def test_a_member_that_fails_does_so_alone(tmp_path):
    """Finished members survive the retries of their pack, which fails until the member is given up."""
    search = search_in(tmp_path, "training: {per_job: 3}")
    obstacle = search.results / "runs/r0/001/progress.csv"
    obstacle.mkdir(parents=True)  # each attempt fails before its first iteration, with an error of the disk
    first = search.snakemake(RANKING, check=False)
    others = times(search, "r0/000", "r0/002")
    assert "r0/001 ended with 74 beside others; it is tried again alone" in first
    assert endings(search, "r0/001") == ["machine"] * 4  # beside others, alone, and the profile's two retries
    assert not list(search.results.glob("packs/r0/*.json"))
    search.snakemake(RANKING)
    assert endings(search, "r0/001") == [*["machine"] * 5, "given_up"]
    assert times(search, "r0/000", "r0/002") == others
    assert "unfinished" in (search.results / "ranking.csv").read_text()
    obstacle.rmdir()
    assert "train_pack" not in search.planned()
    done = runs.run(runs.genenet("retry", "results"), cwd=tmp_path)
    assert done.stdout.startswith("r0/001: unfinished: given up after 5 attempts")
    assert search.planned()["train_pack"] == 1
    search.snakemake(RANKING)
    assert json.loads(files(search, "r0/001")[-1].read_text())["status"] == "ok"
    assert times(search, "r0/000", "r0/002") == others


def test_rungs_are_packed(alone, tmp_path):
    """A genome that reaches the last rung has the weights of a training that was never interrupted."""
    search = search_in(
        tmp_path, "training: {per_job: 2}", "search: {strategy: halving, halving: {eta: 3, rungs: 2}}"
    )
    planned = search.planned(target=RANKING)
    assert (planned["rung_pack"], planned["rank"]) == (2 + 1, 1)
    assert "rung" not in planned
    search.snakemake(RANKING)
    slot = json.loads((search.results / "rungs/r0/10/000.json").read_text())
    assert weights(search, slot["run"]) == weights(alone, slot["run"])
    assert search.planned(target=RANKING) == {}


def test_folds_are_packed_each(tmp_path):
    overlay = "{data: {validation: [], folds: 2}, training: {per_job: 2}, baselines: {unet2015: {n_convkernels: 2}}}"
    search = search_in(tmp_path, overlay)
    planned = search.planned()
    assert (planned["train_pack"], planned["train"], planned["join"]) == (2 * 2, 2, 4)
