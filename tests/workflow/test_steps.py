"""Searches in steps through the whole workflow: what goes on, what is added, what is refused."""

import json
import re

import pytest

from genenet.genes.genome import read_genome
from tests.support.search import Search

pytestmark = pytest.mark.xdist_group("rounds")
STEPS = """
data: {test: []}
baselines: {unet2015: null}
search:
  strategy: evolution_and_halving
  n_genomes: [4, 4]
  halving: {eta: 2, rungs: 2}
  evolution: {inherit_weights: {iterations: 0.5}}
training: {iterations: 20, validation_interval: 5}
"""
RUNGS = {0: (10, 20), 1: (5, 10)}  # iterations at the ends of each round's rungs


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    search = Search(tmp_path_factory.mktemp("steps"))
    search.add_without_volumes("tiny.yaml")
    search.add("steps.yaml", STEPS)
    search.snakemake()
    return search


def read(search, name):
    return json.loads((search.results / name).read_text())


def iterations(search):
    """Iterations of each genome, by run."""
    found = {}
    for path in sorted(search.results.glob("runs/r*/*/scores.json")):
        found["/".join(path.parts[-3:-1])] = json.loads(path.read_text())["iterations"]
    return found


def test_only_the_best_half_of_each_round_goes_on(steps):
    done = iterations(steps)
    assert len(done) == 8
    for number, (first, last) in RUNGS.items():
        slots = read(steps, f"rungs/r{number}/{first}.json")["slots"]
        assert [slot["ari"] for slot in slots] == sorted((slot["ari"] for slot in slots), reverse=True)
        best = [slot["run"] for slot in slots[:2]]
        assert {run for run in done if run.startswith(f"r{number}/") and done[run] == last} == set(best)
        assert all(done[slot["run"]] == first for slot in slots[2:])


def test_children_are_of_scored_parents_and_everything_is_ranked(steps):
    ids = {entry["genome"] for entry in read(steps, "rounds/r0.json")["runs"]}
    children = [read_genome(path) for path in sorted(steps.results.glob("genomes/r1/*.json"))]
    assert len(children) == 4
    assert all(child.parents and set(child.parents) <= ids for child in children)
    ranking = (steps.results / "ranking.csv").read_text()
    assert len(re.findall(r"^\d+,r[01]/00\d,", ranking, re.MULTILINE)) == 8
    assert (steps.results / "report.html").exists()
    assert "up to iteration" not in steps.snakemake("--dry-run")


def test_nothing_is_trained_twice(steps):
    for path in steps.results.glob("runs/r*/*/attempts.json"):
        attempts = json.loads(path.read_text())["attempts"]
        spans = [(a["began_at_iteration"], a["ended_at_iteration"]) for a in attempts]
        first, last = RUNGS[int(path.parts[-3].removeprefix("r"))]
        assert spans in ([(0, first)], [(0, first), (first, last)])


def test_children_begin_with_the_weights_of_a_parent(steps):
    trained = iterations(steps)
    for run in trained:
        scores, genome = read(steps, f"runs/{run}/scores.json"), read(steps, f"genomes/{run}.json")
        if run.startswith("r0/"):
            assert "inherited" not in scores
            continue
        inherited = scores["inherited"]
        assert inherited["genome"] in genome["parents"]
        assert inherited["genome"] == read(steps, f"runs/{inherited['run']}/scores.json")["genome"]
        assert inherited["iterations"] == trained[inherited["run"]]
        log = (steps.results / f"logs/train/{run}.log").read_text()
        assert log.count(f"begins with weights of {inherited['run']}: layers ") == 1
    assert "inherits" not in read(steps, "settings/train.json")
    assert read(steps, "settings/train_inheriting.json")["inherits"] is True


def test_switching_inheritance_off_is_refused(steps):
    steps.add("off.yaml", "search: {evolution: {inherit_weights: null}}")
    output = steps.snakemake("--dry-run", check=False)
    steps.configs.pop()
    assert "search.evolution.inherit_weights: children have been trained with it" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("overlay", "jobs"),
    [
        ("search: {n_genomes: [4, 6]}", {"generate": 2, "rung": 5, "rank": 1}),
        ("search: {n_genomes: [4, 4, 2]}", {"gather": 1, "generate": 2, "rung": 3, "rank": 1}),
        ("ensemble: {size: 1}", {"settings": 1}),
    ],
)
def test_additions_do_only_what_is_new(steps, overlay, jobs):
    planned = steps.planned(overlay)
    for rule in ("select", "report", "all", "test"):
        planned.pop(rule, None)
    assert planned == jobs


def test_a_change_of_a_round_with_children_is_refused(steps):
    steps.add("more.yaml", "search: {n_genomes: [6, 4]}")
    output = steps.snakemake("--dry-run", check=False)
    steps.configs.pop()
    assert "search.n_genomes: round 0 had 4 genomes, not 6, when round 1 was bred from it" in output
    assert "Traceback" not in output


def test_two_more_genomes_leave_the_others_as_they_are(steps):
    weights = {path: path.stat().st_mtime_ns for path in steps.results.glob("runs/r*/*/model.safetensors")}
    before = iterations(steps)
    steps.add("more.yaml", "search: {n_genomes: [4, 6]}")
    steps.snakemake()
    after = iterations(steps)
    assert len(after) == 10
    longer = {run for run in before if after[run] != before[run]}
    assert all(run.startswith("r1/") for run in longer)
    unchanged = [p for p in weights if "/".join(p.parts[-3:-1]) not in longer]
    assert all(path.stat().st_mtime_ns == weights[path] for path in unchanged)
    assert sum(n == 10 for run, n in after.items() if run.startswith("r1/")) >= 3
