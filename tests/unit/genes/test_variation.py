"""Children of genomes: always within the regions, at the declared rates and scales, named after their parents."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.model import Search
from genenet.core.errors import InputError
from genenet.core.validation import validate
from genenet.genes.domains import Integers, Interval
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, genome_from_json
from genenet.genes.hyperparameters import HYPERPARAMETERS, LEVELS
from genenet.genes.plan import plan
from genenet.genes.variation import cross, mutate
from genenet.genes.variation_settings import Mutation
from tests.support.examples import examples
from tests.support.regions import FEASIBLE_WITH_POOLING as FEASIBLE

EVERYTHING = dict.fromkeys(LEVELS, 1.0)
NOTHING = dict.fromkeys(LEVELS, 0.0)
SEEDS = st.integers(0, 10_000)


def only(level, rate=1.0, **others):
    return Mutation(rates={**NOTHING, level: rate}, **others)


def regions(**levels):
    return Search(regions=levels).feasible_regions()


def genes(genome):
    return {gene.path: gene for gene in genome.net.walk()}


def check(child):
    """It builds with the input size that it names, all values in the regions, and its file can be read."""
    for gene in child.net.walk():
        for name, region in FEASIBLE["net"].items():
            assert gene.value(name) in region, (gene.path, name)
        # A choice between two that are allowed is clipped to the lower one, however far: not so for activation.
        for name in set(gene.deltas) - {"activation"} if gene.parent else ():
            delta = gene.deltas[name]
            region = FEASIBLE[gene.level][name]
            assert min(region.clip(-99), 0) <= delta <= max(region.clip(99), 0), (gene.path, name)
    assert plan(child.net, 7).input_shape[1:] == (child.net.value("input_size"),) * 2
    assert set(child.deltas["net"]) == set(HYPERPARAMETERS)
    assert genome_from_json(child.to_json()) == child


@given(seed=SEEDS, kind=st.sampled_from(["additive", "replacing"]), rate=st.floats(0.02, 1))
def test_mutants_build_and_lie_in_the_regions(seed, kind, rate):
    parent = draw(FEASIBLE, seed, 0)
    child = mutate(
        parent, FEASIBLE, Mutation(kind=kind, rates=dict.fromkeys(LEVELS, rate)), seed, "c", key=(1, 2)
    )
    check(child)
    assert child.id != parent.id
    assert (child.name, child.seed, child.parents) == ("c", seed, (parent.id,))


@given(seed=SEEDS)
def test_crosses_build_and_lie_in_the_regions(seed):
    a, b = draw(FEASIBLE, seed, 0), draw(FEASIBLE, seed, 1)
    child = cross(a, b, FEASIBLE, seed, "c")
    check(child)
    assert (child.name, child.seed, child.parents) == ("c", seed, (a.id, b.id))


def test_the_same_seed_and_key_give_the_same_child():
    a, b = draw(FEASIBLE, 1, 0), draw(FEASIBLE, 1, 1)
    assert mutate(a, FEASIBLE, Mutation(), 5, key=(1, 2)) == mutate(a, FEASIBLE, Mutation(), 5, key=(1, 2))
    assert cross(a, b, FEASIBLE, 5) == cross(a, b, FEASIBLE, 5)
    many = [(seed, key) for seed in (1, 2) for key in ((), (0,), (0, 0), (0, 1), (1, 0))]
    settings = Mutation(rates=EVERYTHING)
    assert len({mutate(a, FEASIBLE, settings, seed, key=key).id for seed, key in many}) == len(many)
    assert len({cross(a, b, FEASIBLE, seed, key=key).id for seed, key in many}) == len(many)


def test_children_are_the_same_on_any_machine():
    """If this fails, seeds of earlier searches give other children: say so in the changelog."""
    space = regions(net={"log_learning_rate": [-4, -2], "n_convkernels": [4, 16]})
    a = Genome("a", {"net": {"log_learning_rate": -3.0, "n_convkernels": 8}})
    b = Genome("b", {"net": {"log_learning_rate": -2.5, "n_convkernels": 12}})
    child = mutate(a, space, only("net"), 5)
    assert child.net.value("log_learning_rate") == pytest.approx(-3.0747582242812057, rel=1e-12)
    assert child.net.value("n_convkernels") == 5
    crossed = [cross(a, b, space, seed).net.value("n_convkernels") for seed in range(8)]
    assert crossed == [8, 12, 12, 12, 8, 12, 12, 12]


def test_different_parents_get_independent_steps():
    space = regions(net={"log_learning_rate": [-4, -2]})
    parents = [Genome("", {"net": {"log_learning_rate": -3.0, "n_convkernels": n}}) for n in (8, 9)]
    x, y = (mutate(p, space, only("net"), 1).net.value("log_learning_rate") for p in parents)
    assert x != y


FLOATS = ("log_learning_rate", "log_alpha1", "dropout_rate", "log_gamma1")
FLAT = regions(
    net={
        "log_learning_rate": [-4, -2],
        "log_alpha1": [-2, 0],
        "dropout_rate": [0, 0.8],
        "log_gamma1": [-9, -1],
    }
    | {"n_stacks": 1, "input_size": 60},
    layer={"dropout_rate": [-0.4, 0.4], "log_gamma1": [-4, 4]},
)
MIDDLE = Genome(
    "middle",
    {
        "net": dict(zip(FLOATS, (-3.0, -1.0, 0.4, -5.0), strict=True))
        | {"n_stacks": 1, "n_convlayers": 1, "input_size": 60}
    },
)


def steps(settings, level, name, n=400):
    """Steps of a hyperparameter from MIDDLE to n children, summed over the genes of a level."""
    children = [mutate(MIDDLE, FLAT, settings, seed) for seed in range(n)]
    parent = genes(MIDDLE)
    return np.array(
        [
            gene.deltas.get(name, 0) - (parent[gene.path].deltas.get(name, 0))
            for child in children
            for gene in child.net.walk()
            if gene.level == level
        ]
    )


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("level", "other"), [("net", "layer"), ("layer", "net")])
def test_rates_by_level(rate, level, other):
    # The other level always changes, so that a child always differs; a little, so that nothing is clipped.
    settings = Mutation(rates={**NOTHING, level: rate, other: 1}, scales=dict.fromkeys(LEVELS, 0.02))
    found = steps(settings, level, "log_gamma1")
    deviation = math.sqrt(rate * (1 - rate) / len(found))
    assert np.mean(found != 0) == pytest.approx(rate, abs=5 * deviation)


def test_additive_steps_have_their_scale():
    settings = Mutation(rates=EVERYTHING, scales={"net": 0.05, "layer": 0.1})
    expected = {"log_learning_rate": 0.05 * 2, "dropout_rate": 0.05 * 0.8}
    for name, deviation in expected.items():
        found = steps(settings, "net", name)
        assert np.std(found) == pytest.approx(deviation, rel=0.2), name  # 5 standard errors and more
        assert abs(np.mean(found)) < 5 * deviation / math.sqrt(len(found))
    assert np.std(steps(settings, "layer", "dropout_rate")) == pytest.approx(0.1 * 0.8, rel=0.2)


def test_replacing_draws_are_uniform():
    found = steps(Mutation(kind="replacing", rates=EVERYTHING), "net", "log_learning_rate")
    counts, _ = np.histogram(found, 8, (-1, 1))
    assert counts.sum() == len(found)
    assert np.sum((counts - len(found) / 8) ** 2) / (len(found) / 8) < 30  # chi square, 7 degrees: p is 1e-4
    space = regions(net={"n_convkernels": [4, 8], "log_learning_rate": [-4, -2]})
    settings = only("net", kind="replacing")
    values = [mutate(MIDDLE, space, settings, seed).net.value("n_convkernels") for seed in range(300)]
    assert np.bincount(values)[4:].min() > 30  # of 60 expected


def test_integers_and_choices_move_at_least_one_place():
    space = regions(net={"kernel_width": [1, 15], "activation": ["relu", "elu", "tanh"], "n_stacks": 1})
    parent = Genome("", {"net": {"kernel_width": 7, "activation": "elu", "n_stacks": 1}})
    tiny = only("net", scales={"net": 1e-9})
    children = [mutate(parent, space, tiny, seed).net for seed in range(40)]
    assert {net.value("kernel_width") for net in children} == {5, 9}
    assert {net.choice("activation") for net in children} == {"relu", "tanh"}


@pytest.mark.parametrize(
    ("region", "value", "step", "moved"),
    [
        (Interval(0, 1), 0.5, 0.25, 0.75),
        (Interval(0, 1), 0.5, -2, 0),
        (Integers(range(3, 10, 2)), 5, 0.1, 7),
        (Integers(range(3, 10, 2)), 5, -1.2, 3),
        (Integers(range(3, 10, 2)), 99, -1.0, 7),  # from outside: from the border
        (Integers((0, 2, 4)), 2, 1.0, 4),
        (Integers((0, 2, 4)), 0, -1.0, 0),
    ],
)
def test_moves(region, value, step, moved):
    assert region.moved(value, step) == moved


def test_genes_that_come_are_drawn_and_those_that_go_are_dropped():
    space = regions(
        net={"n_stacks": [1, 2], "n_convlayers": 1, "n_convkernels": [4, 30], "input_size": [60, 100]},
        layer={"n_convkernels": [1, 5]},
    )
    small, large = (
        Genome("", {"net": {"n_stacks": n, "n_convlayers": 1, "n_convkernels": 10, "input_size": 100}})
        for n in (1, 2)
    )
    stacks = only("net", kind="replacing")
    grown = [
        c for c in (mutate(small, space, stacks, seed) for seed in range(20)) if c.net.value("n_stacks") == 2
    ]
    assert grown
    for child in grown:
        own = {path: gene.deltas for path, gene in genes(child).items() if gene.level == "layer"}
        assert {path for path, deltas in own.items() if deltas} == set(own) - set(genes(small))
        assert all(1 <= d["n_convkernels"] <= 5 for d in own.values() if d)
    deep = {
        "net/decode/stack2/layer0": {"n_convkernels": 3},
        "net/decode/stack0/layer0": {"n_convkernels": 2},
    }
    large = Genome("", {**large.deltas, **deep})
    shrunk = [c for c in (mutate(large, space, stacks, s) for s in range(20)) if c.net.value("n_stacks") == 1]
    assert shrunk
    assert all(set(child.deltas) == {"net", "net/decode/stack0/layer0"} for child in shrunk)


def test_what_is_inherited_stays_even_outside_of_the_regions():
    parent = Genome(
        "",
        {
            "net": {
                "n_stacks": 1,
                "n_convlayers": 1,
                "n_convkernels": 40,
                "input_size": 48,
            },
            "net/encode/stack0": {"dropout_rate": 0.85},
            "net/decode/stack1": {"n_convlayers": 4},  # 5 layers, by a delta that is too large
            "net/encode/stack0/layer0": {"n_convkernels": 20, "dropout_rate": -0.1},
        },
    )
    lowest = {name: region.clip(-99) for name, region in FEASIBLE["net"].items()}
    fixed = {n: Interval(v, v) if isinstance(v, float) else Integers((v,)) for n, v in lowest.items()}
    space = {**FEASIBLE, "net": {**fixed, "log_learning_rate": Interval(-4, -2)}}
    settings = only("net")
    for seed in range(5):
        child = mutate(parent, space, settings, seed)
        assert {n for n in HYPERPARAMETERS if child.net.value(n) != parent.net.value(n)} == {
            "log_learning_rate",
            "input_size",  # lowered to a feasible one
        } - ({"input_size"} if child.net.value("input_size") == 48 else set())
        assert {p: d for p, d in child.deltas.items() if p != "net"} == {
            p: d for p, d in parent.deltas.items() if p != "net"
        }


def test_below_a_value_outside_of_its_region_deltas_still_count_from_it():
    space = regions(net={"n_convkernels": [4, 16], "n_stacks": 1}, layer={"n_convkernels": [-8, 8]})
    parent = Genome("", {"net": {"n_convkernels": 40, "n_stacks": 1}})
    layers = [
        gene.value("n_convkernels")
        for seed in range(30)
        for gene in mutate(parent, space, only("layer", kind="replacing"), seed).net.walk()
        if gene.level == "layer"
    ]
    assert set(layers) == set(range(32, 49))


def test_inherited_deltas_are_clipped_where_the_sum_above_has_changed():
    space = regions(net={"n_convkernels": [4, 16], "n_stacks": 1}, layer={"n_convkernels": [-8, 8]})
    layer = "net/encode/stack0/layer0"
    parent = Genome("", {"net": {"n_convkernels": 8, "n_stacks": 1}, layer: {"n_convkernels": 8}})
    settings = only("net", kind="replacing")
    for seed in range(20):
        child = mutate(parent, space, settings, seed)
        base = child.net.value("n_convkernels")
        assert genes(child)[layer].value("n_convkernels") == min(base + 8, 16)


@given(seed=SEEDS, value=st.floats(0, 0.9), delta=st.floats(-0.9, 0.9))
def test_parents_outside_of_narrow_regions_have_children(seed, value, delta):
    space = regions(
        net={"dropout_rate": [0.1, 0.1 + 1e-16], "n_stacks": [1, 2]}, layer={"dropout_rate": [-1, 1]}
    )
    layer = {"dropout_rate": min(max(delta, -value), 0.9 - value) * 0.99}
    parent = Genome("", {"net": {"dropout_rate": value, "n_stacks": 1}, "net/encode/stack0/layer0": layer})
    child = mutate(parent, space, Mutation(rates=EVERYTHING), seed)
    assert cross(parent, child, space, seed).parents == (parent.id, child.id)


def test_a_lowered_input_size_is_no_mutation():
    parent = Genome("", {"net": {"n_stacks": 2, "input_size": 99}})
    space = regions(net={"log_learning_rate": [-4, -2]})
    child = mutate(parent, space, only("net", 0.5), 1)
    assert child.net.value("input_size") < 99
    assert child.net.value("log_learning_rate") != parent.net.value("log_learning_rate")


def test_infeasible_children_are_redrawn(caplog):
    space = regions(net={"n_stacks": [1, 4], "input_size": [40, 60]})
    parent = draw(space, 0, 0)
    with caplog.at_level(logging.INFO):
        children = [mutate(parent, space, only("net", kind="replacing"), seed) for seed in range(10)]
    assert all(min(plan(child.net, 2).output_shape) > 0 for child in children)
    assert "genome child: draw 1 rejected: net: input_size" in caplog.text


@pytest.mark.parametrize(
    ("space", "settings", "said"),
    [
        ({}, Mutation(), r"nothing of tiny \(\w+\) can be mutated; give a hyperparameter a region"),
        ({"net": {"n_stacks": 1}}, Mutation(), "can be mutated"),
        ({"net": {"n_stacks": [1, 2]}}, only("layer"), "a rate above 0"),
        (
            {"net": {"n_stacks": [1, 2]}},
            only("net", 1e-9),
            "none of 1000 draws differs from tiny .* raise the rates",
        ),
        ({"net": {"n_stacks": [3, 4]}}, only("net"), "none of 1000 draws is feasible .*raise net.input_size"),
    ],
)
def test_no_child_is_an_error_that_says_what_to_change(space, settings, said):
    parent = Genome("tiny", {"net": {"n_stacks": 1, "input_size": 40}})
    with pytest.raises(InputError, match=said):
        mutate(parent, regions(**space), settings, 0)


@given(seed=SEEDS)
def test_a_cross_takes_all_from_its_parents(seed):
    a, b = draw(FEASIBLE, seed, 0), draw(FEASIBLE, seed, 1)
    child = cross(a, b, FEASIBLE, seed)
    both = genes(a), genes(b)
    for name in set(HYPERPARAMETERS) - {"input_size"}:  # which is lowered
        assert child.net.value(name) in [p.net.value(name) for p in (a, b)]
    for path, gene in genes(child).items():
        owners = [own[path] for own in both if path in own]
        if gene.parent is None or not owners:
            continue
        # Whole genes: from one of the owners come all deltas, but for those that were clipped.
        assert any(
            all(
                gene.deltas.get(name, 0) == owner.deltas.get(name, 0) or _clipped(gene, owner, name)
                for name in HYPERPARAMETERS
            )
            for owner in owners
        ), path


def _clipped(gene, owner, name):
    region = FEASIBLE["net"].get(name, HYPERPARAMETERS[name].domain)
    return gene.parent.value(name) + owner.deltas.get(name, 0) not in region


def test_a_cross_keeps_values_of_the_net_that_lie_outside_of_the_regions():
    a, b = draw(FEASIBLE, 0, 0), draw(FEASIBLE, 0, 1)
    space = {**FEASIBLE, "net": {**FEASIBLE["net"], "n_convkernels": Integers(range(99, 101))}}
    values = {cross(a, b, space, seed).net.value("n_convkernels") for seed in range(10)}
    assert values == {a.net.value("n_convkernels"), b.net.value("n_convkernels")}


@examples(30)
@given(seed=SEEDS)
def test_identical_parents_give_themselves(seed):
    parent = draw(FEASIBLE, seed, 0)
    child = cross(parent, parent, FEASIBLE, seed)
    assert child.deltas == parent.deltas
    assert child.id == parent.id


def test_half_of_the_genes_and_of_the_nets_values_come_from_each_parent():
    values = {"n_stacks": 1, "n_convlayers": 2, "n_convkernels": 9}
    a = Genome("a", {"net": values, "net/encode": {"n_convkernels": 1}})
    b = Genome("b", {"net": {**values, "log_alpha1": -2.0}, "net/encode": {"n_convkernels": 2}})
    children = [cross(a, b, {}, seed) for seed in range(400)]
    of_second = [
        [child.net.value("log_alpha1") == -2.0 for child in children],
        [child.deltas["net/encode"]["n_convkernels"] == 2 for child in children],
    ]
    for found in of_second:
        assert np.mean(found) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(len(found)))
    assert abs(np.corrcoef(of_second)[0, 1]) < 5 / math.sqrt(len(children))


def test_genes_that_neither_parent_has_are_drawn():
    space = regions(
        net={"n_stacks": [1, 2], "n_convlayers": [1, 2], "input_size": [60, 100], "n_convkernels": [4, 30]},
        layer={"n_convkernels": [1, 5]},
    )
    a, b = (
        Genome("", {"net": {"n_stacks": n, "n_convlayers": 3 - n, "n_convkernels": 10, "input_size": 100}})
        for n in (1, 2)
    )
    child = next(c for c in (cross(a, b, space, s) for s in range(99)) if len(genes(c)) == 30)
    new = set(genes(child)) - set(genes(a)) - set(genes(b))
    assert {path for path in child.deltas if path != "net"} == {p for p in new if p.endswith("layer1")}


def test_wrong_settings_are_refused():
    for wrong in (
        {"rates": {"nets": 1}},
        {"rates": {"net": 2}},
        {"scales": {"net": 0}},
        {"kind": "subtractive"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Mutation(**wrong)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"mutation": {"group_rates": {"architecture": 0}}},
            "mutation: group_rates: this key .* use rates, or one number",
        ),
        ({"mutation": {"group_scales": {}}}, "mutation: group_scales: this key has been removed; use scales"),
        (
            {"crossing": {"whole_groups": True}},
            "evolution: crossing: this key has been removed; use crossover",
        ),
    ],
)
def test_a_removed_setting_is_refused_with_what_replaces_it(section, said):
    with pytest.raises(InputError, match=said) as error:
        validate(Search, {"strategy": "evolution", "n_genomes": [2, 2], "evolution": section}, "config.yaml")
    assert "\n" not in str(error.value)
