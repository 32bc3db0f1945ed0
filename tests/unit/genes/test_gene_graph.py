import pytest

from genenet.core.errors import InputError
from genenet.genes.genome import Genome
from genenet.genes.plan import plan


def genome(deltas):
    return Genome("test", deltas)


def test_tree_has_named_paths_in_the_order_of_the_design():
    net = genome({"net": {"n_stacks": 1, "n_convlayers": 1}}).net
    assert [gene.path for gene in net.walk()] == [
        "net",
        "net/encode",
        "net/encode/stack0",
        "net/encode/stack0/layer0",
        "net/encode/stack0/layer0/edge0",
        "net/decode",
        "net/decode/stack1",
        "net/decode/stack1/layer0",
        "net/decode/stack1/layer0/edge0",
        "net/decode/stack0",
        "net/decode/stack0/layer0",
        "net/decode/stack0/layer0/edge0",
        "net/decode/stack0/layer0/edge1",
    ]


def test_edges_are_forward_down_up_and_merge():
    net = genome({"net": {"n_stacks": 2, "n_convlayers": 2}}).net
    kinds = {g.path: g.kind for g in net.walk() if g.level == "edge"}
    assert kinds["net/encode/stack0/layer0/edge0"] == "forward"
    assert kinds["net/encode/stack1/layer0/edge0"] == "down"
    assert kinds["net/decode/stack2/layer0/edge0"] == "down"
    assert kinds["net/decode/stack1/layer0/edge0"] == "up"
    assert kinds["net/decode/stack1/layer0/edge1"] == "merge"
    assert kinds["net/decode/stack1/layer1/edge0"] == "forward"


def test_value_is_the_sum_of_deltas_from_the_root():
    net = genome(
        {
            "net": {
                "n_convkernels": 10,
                "n_stacks": 1,
                "n_convlayers": 1,
                "dropout_rate": 0.1,
                "activation": 1,
            },
            "net/decode": {"n_convkernels": 2, "activation": 1},
            "net/decode/stack0": {"n_convkernels": -3, "n_convlayers": 1, "dropout_rate": 0.25},
            "net/decode/stack0/layer1": {"n_convkernels": 4},
        }
    ).net
    genes = {gene.path: gene for gene in net.walk()}
    assert genes["net/encode/stack0/layer0"].value("n_convkernels") == 10
    assert genes["net/decode/stack1/layer0"].value("n_convkernels") == 12
    assert genes["net/decode/stack0/layer0"].value("n_convkernels") == 9
    assert genes["net/decode/stack0/layer1"].value("n_convkernels") == 13
    assert genes["net/decode/stack0/layer1"].value("dropout_rate") == pytest.approx(0.35)
    assert genes["net/encode/stack0/layer0"].choice("activation") == "leaky_relu"
    assert genes["net/decode/stack1/layer0"].choice("activation") == "elu"


def test_an_absent_root_value_is_the_default():
    net = genome({}).net
    assert net.value("n_convkernels") == 32
    assert net.value("log_learning_rate") == -3.0


def test_deltas_at_every_level_build_what_was_counted_by_hand():
    net = genome(
        {
            "net": {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 1, "input_size": 32},
            "net/encode": {"n_convkernels": 1},  # 5
            "net/encode/stack0": {"n_convlayers": 1},  # two layers
            "net/encode/stack0/layer1": {"n_convkernels": 2},  # 7
            "net/decode": {"norm": 1},
            "net/decode/stack0/layer0": {"kernel_width": 2},  # 5 x 5
            "net/decode/stack1/layer0/edge0": {"pooling": 1},
        }
    ).net
    p = plan(net, n_classes=3)
    by_hand = (
        (1 * 9 + 1) * 5  # encode/stack0/layer0
        + (5 * 9 + 1) * 7  # encode/stack0/layer1
        + (7 * 4 + 1) * 7  # down: strided convolution, as many channels
        + (7 * 9 + 1) * 8 + 2 * 8  # decode/stack1/layer0: 4 * 2**1 channels, batch normalisation
        + (8 * 4 + 1) * 4  # up, to the target's channels
        + ((4 + 7) * 25 + 1) * 4 + 2 * 4  # decode/stack0/layer0 on up and merge
        + (4 + 1) * 3  # 1 x 1
    )  # fmt: skip
    assert p.n_parameters == by_hand == 50 + 322 + 203 + 528 + 132 + 1112 + 15
    # 32 -2 -2 = 28, /2 = 14, -2 = 12, *2 = 24, -4 = 20
    assert (p.input_shape, p.output_shape) == ((1, 32, 32), (1, 20, 20))


@pytest.mark.parametrize(
    ("deltas", "said"),
    [
        ({"net": {"n_kernels": 3}}, "net: n_kernels: unknown hyperparameter; did you mean n_convkernels"),
        ({"net": {"n_convkernels": 0}}, "net: n_convkernels is 0; allowed: 1 to 1024"),
        ({"net": {"n_convkernels": 2.5}}, "net: n_convkernels: 2.5 is not an integer"),
        ({"net": {"n_convkernels": "many"}}, "net: n_convkernels: 'many' is not a number"),
        ({"net": {"kernel_width": 16}}, "net: kernel_width is 16; allowed: 1 to 15"),
        ({"net": {"activation": "step"}}, "net: activation: 'step' is none of its choices: relu,"),
        ({"net": {"log_learning_rate": float("nan")}}, "not a number"),
        (
            {"net/encode": {"n_stacks": 1}},
            "net/encode: n_stacks is read at net genes; no delta is allowed below",
        ),
        (
            {"net/encode/stack0/layer0": {"n_convlayers": 1}},
            "net/encode/stack0/layer0: n_convlayers is read at stack genes",
        ),
        (
            {"net": {"n_convkernels": 8}, "net/decode": {"n_convkernels": -8}},
            "net/decode: n_convkernels is 0; allowed: 1 to 1024",
        ),
        (
            {"net": {"n_stacks": 1}, "net/encode/stack1": {"n_convkernels": 1}},
            "net/encode/stack1: no such gene in this genome; at this level it has net/encode/stack0",
        ),
        ({"nett": {"n_convkernels": 1}}, "nett: no such gene in this genome; at this level it has net"),
        ({"net": {"n_convlayers": 7}}, "net: n_convlayers is 7; allowed: 1 to 6"),
    ],
)
def test_what_cannot_be_is_named_with_what_can(deltas, said):
    with pytest.raises(InputError) as error:
        genome(deltas)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_choices_may_be_named_at_the_root():
    assert genome({"net": {"activation": "elu", "norm": "batch"}}).deltas == {
        "net": {"activation": 2, "norm": 1}
    }


@pytest.mark.parametrize(
    ("n_convkernels", "groups", "found"),
    [
        (6, 1, [1, 1]),
        (6, 2, [1, 2]),
        (6, 4, [1, 3]),
        (6, 5, [1, 3]),
        (6, 1000, [1, 6]),
        (7, 6, [1, 1]),
        (7, 7, [1, 7]),
    ],
)
def test_groups_are_the_largest_divisor_of_both_numbers_of_channels(n_convkernels, groups, found):
    net = {"n_stacks": 0, "n_convlayers": 2, "n_convkernels": n_convkernels, "groups": groups}
    p = plan(genome({"net": net}).net, 3)
    assert [layer.groups for layer in p.layers] == found
    second = (n_convkernels // found[1] * 9 + 1) * n_convkernels
    assert p.n_parameters == (9 + 1) * n_convkernels + second + (n_convkernels + 1) * 3


def test_groups_see_the_channels_after_the_merge():
    net = {"n_stacks": 1, "n_convlayers": 1, "n_convkernels": 4, "input_size": 32, "groups": 8}
    p = plan(genome({"net": net, "net/encode": {"n_convkernels": 2}}).net, 3)
    channels = [(layer.in_channels, layer.out_channels, layer.groups) for layer in p.layers]
    assert channels == [(1, 6, 1), (6, 8, 2), (10, 4, 2)]


def test_too_small_an_input_says_which_is_needed():
    net = genome({"net": {"n_stacks": 4, "input_size": 100}}).net
    with pytest.raises(Exception, match="input_size 100 is too small .* at least 188 is needed"):
        plan(net, 2)


def test_channels_double_up_to_a_limit_that_is_summed_like_other_values():
    """Skips, merges, groups and projections follow the channels of the layers around them."""
    net = {"n_convkernels": 6, "n_stacks": 3, "n_convlayers": 2, "padding": "same", "residual": True}
    limited = genome(
        {
            "net": {**net, "max_convkernels": 16, "groups": 4},
            "net/decode/stack3/layer1": {"max_convkernels": 4},
        }
    )
    stacks = plan(limited.net, 2).stacks
    assert [[layer.out_channels for layer in stack.layers] for stack in stacks] == [
        *([6, 6], [12, 12], [16, 16]),
        *([16, 20], [16, 16], [12, 12], [6, 6]),
    ]
    assert [stack.layers[0].in_channels for stack in stacks] == [1, 6, 12, 16, 16 + 16, 12 + 12, 6 + 6]
    assert [layer.groups for layer in stacks[3].layers] == [4, 4]
    assert [layer.is_projected for layer in stacks[3].layers] == [False, True]
    assert stacks[3].layers[1].in_channels == 16


def test_without_a_limit_channels_double_to_the_end():
    largest = genome({"net": {"n_convkernels": 1024, "n_stacks": 6, "padding": "same"}})
    assert plan(largest.net, 2).stacks[6].out_channels == 1024 * 64
