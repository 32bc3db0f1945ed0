"""The gene graph: a tree of genes. A gene's value of a hyperparameter is the sum of the deltas down to it.

::

    net                              NetGene
    ├─ encode                        PathGene      n_stacks stacks, scale 0 … n_stacks-1
    │  └─ stack0                     StackGene     named by scale
    │     └─ layer0                  ConvLayerGene
    │        └─ edge0                EdgeGene      forward, down, up, merge or residual
    └─ decode                        PathGene      n_stacks+1 stacks, scale n_stacks … 0
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal

from genenet.genes.domains import Number
from genenet.genes.hyperparameters import HYPERPARAMETERS, Level

Deltas = Mapping[str, Number]
EdgeKind = Literal["forward", "down", "up", "merge", "residual"]


_DEFAULTS = {name: h.default for name, h in HYPERPARAMETERS.items()}


class Gene:
    """A node of the tree: its deltas, its parent and, once grown, its children."""

    level: ClassVar[Level]

    def __init__(self, name: str, parent: Gene | None = None) -> None:
        self.name = name
        self.parent = parent
        self.path: str = f"{parent.path}/{name}" if parent else name
        self.children: list[Gene] = []
        self._deltas: Deltas = {}
        self._values: dict[str, Number] | None = None  # cached sums

    @property
    def deltas(self) -> Deltas:
        """This gene's own contributions."""
        return self._deltas

    @deltas.setter
    def deltas(self, deltas: Deltas) -> None:
        self._deltas = deltas
        for gene in self.walk():
            gene._values = None

    def value(self, name: str) -> Number:
        """Return the sum of the deltas of hyperparameter ``name`` from the root down to here.

        A root without a delta has the default.
        """
        return self.values()[name]

    def values(self) -> dict[str, Number]:
        """Return the values of all hyperparameters; the caller must not change them."""
        if self._values is None:
            if self.parent is None:
                self._values = {**_DEFAULTS, **self._deltas}
            else:
                above = self.parent.values()
                own = {name: above[name] + delta for name, delta in self._deltas.items()}
                self._values = {**above, **own} if own else above
        return self._values

    def integer(self, name: str) -> int:
        """Return an integer value."""
        return int(self.value(name))

    def choice(self, name: str) -> str | bool:
        """Return the choice whose index is the value."""
        return HYPERPARAMETERS[name].choices[self.integer(name)]

    def walk(self) -> Iterator[Gene]:
        """Yield this gene and all below it, parents first, each branch to its end."""
        yield self
        for child in self.children:
            yield from child.walk()

    def new_children(self) -> list[Gene]:
        """Make the children that this gene's values ask for; a leaf has none."""
        return []


class NetGene(Gene):
    """The root: a whole network."""

    level = "net"
    children: list[PathGene]  # type: ignore[assignment]

    @property
    def encode(self) -> PathGene:
        """The path that goes down the scales."""
        return self.children[0]

    @property
    def decode(self) -> PathGene:
        """The path that begins at the bottom and comes up again."""
        return self.children[1]

    def new_children(self) -> list[Gene]:
        """Make the two paths."""
        return [PathGene("encode", self), PathGene("decode", self)]


class PathGene(Gene):
    """The encoder or the decoder."""

    level = "path"
    children: list[StackGene]  # type: ignore[assignment]

    def new_children(self) -> list[Gene]:
        """Make a stack for each scale: down to n_stacks-1, or from n_stacks up to 0."""
        n_stacks = self.integer("n_stacks")
        scales = range(n_stacks) if self.name == "encode" else range(n_stacks, -1, -1)
        return [StackGene(scale, is_bottom=scale == n_stacks, parent=self) for scale in scales]


class StackGene(Gene):
    """Convolution layers at one scale."""

    level = "stack"
    children: list[ConvLayerGene]  # type: ignore[assignment]

    def __init__(self, scale: int, is_bottom: bool, parent: PathGene) -> None:
        super().__init__(f"stack{scale}", parent)
        self.scale = scale
        self.is_encoder = parent.name == "encode"
        self.is_bottom = is_bottom

    def entry(self) -> tuple[EdgeKind, ...]:
        """Return which kinds of edges lead into the first layer."""
        if self.is_encoder or self.is_bottom:
            return ("forward",) if self.scale == 0 else ("down",)
        return ("up", "merge")

    def new_children(self) -> list[Gene]:
        """Make n_convlayers layers."""
        return [ConvLayerGene(i, self) for i in range(self.integer("n_convlayers"))]


class ConvLayerGene(Gene):
    """One convolution with what follows it: normalisation, activation, dropout."""

    level = "layer"
    children: list[EdgeGene]  # type: ignore[assignment]

    def __init__(self, index: int, parent: StackGene) -> None:
        super().__init__(f"layer{index}", parent)
        self.scale = parent.scale
        self.entry: tuple[EdgeKind, ...] = parent.entry() if index == 0 else ("forward",)

    @property
    def n_channels(self) -> int:
        """Output channels: the kernels at scale 0, doubled at each scale, but at most max_convkernels."""
        return min(self.integer("n_convkernels") << self.scale, self.integer("max_convkernels"))

    @property
    def is_limited(self) -> bool:
        """Whether max_convkernels cuts off channels."""
        return self.integer("n_convkernels") << self.scale > self.n_channels

    @property
    def spatial_mode(self) -> str:
        """Its spatial mode by name: the value, or 3d at the lowest scales of a hybrid."""
        is_context = self.scale > self.integer("n_stacks") - self.integer("n_context_stacks")
        return "3d" if is_context else str(self.choice("spatial_mode"))

    def new_children(self) -> list[Gene]:
        """Make the edges into this layer."""
        kinds: tuple[EdgeKind, ...] = (*self.entry, *(("residual",) if self.choice("residual") else ()))
        return [EdgeGene(i, kind, self) for i, kind in enumerate(kinds)]


class EdgeGene(Gene):
    """What carries data into a layer."""

    level = "edge"

    def __init__(self, index: int, kind: EdgeKind, parent: ConvLayerGene) -> None:
        super().__init__(f"edge{index}", parent)
        self.kind = kind


def grow(deltas_of: Callable[[Gene], Deltas]) -> NetGene:
    """Grow a tree from the root, level by level.

    Args:
        deltas_of: returns a gene's deltas; it is called before the gene has children, since its values decide which
            children there are. These values must lie in the domain.
    """
    net = NetGene("net")
    queue: deque[Gene] = deque([net])
    while queue:
        gene = queue.popleft()
        gene.deltas = deltas_of(gene)
        gene.children = gene.new_children()
        queue.extend(gene.children)
    return net
