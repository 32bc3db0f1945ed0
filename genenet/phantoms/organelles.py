"""The organelles in a platelet: chains of balls that don't touch one another or the membrane, in nanometres."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genenet.phantoms.platelets import GAP_NM, MEMBRANE_NM, Array, Platelet, directions

Balls = NDArray[np.void]

RIM_NM = 16.0  # membrane of an organelle, around its balls


@dataclass(frozen=True)
class Kind:
    """A kind of organelle: a chain of balls along a random walk, so a blob, a sausage or a winding tube.

    Attributes:
        label: Its class.
        count: How many a platelet gets, where there is room.
        n_balls: Balls of a chain.
        step: From ball to ball, in radii.
        bend: How much a chain turns from ball to ball (0 is straight).
        radii_nm: Least and greatest radius.
        grey: Mean grey level inside.
        spread: Standard deviation of the grey level from one to the next.
        rim: Grey level of its membrane, None without.
        stripes: Contrast of stripes across it (cristae), in grey levels.
    """

    label: int
    count: int
    n_balls: int
    step: float
    bend: float
    radii_nm: tuple[float, float]
    grey: float
    spread: float
    rim: float | None = None
    stripes: float = 0.0


_CELL, _DENSE_BODY, _DENSE_CORE = 1, 5, 6
# In order of placing: the rare ones first, while there is room. Specks (glycogen, ribosomes) count as
# cell: they are there to be told from dense cores and small granules.
KINDS = (
    Kind(_DENSE_BODY, 3, 1, 0.0, 0.0, (80, 116), 172, 10, rim=85),
    Kind(2, 4, 6, 0.5, 0.25, (80, 125), 92, 8, rim=62, stripes=44),
    Kind(4, 20, 8, 0.7, 0.6, (46, 90), 192, 12, rim=84),
    Kind(3, 40, 2, 0.35, 0.0, (66, 130), 96, 9, rim=82),
    Kind(_CELL, 30, 2, 0.9, 0.5, (14, 30), 78, 14),
)
_CRISTAE_NM = 58.0
MOST_OF_A_KIND = 64  # no kind has more in a platelet

BALL = np.dtype(
    [
        *[("centre", "f8", 3), ("radius", "f8"), ("label", "u1"), ("grey", "f4"), ("rim", "f4")],
        *[("wave", "f4", 3), ("stripes", "f4"), ("owner", "i4"), ("place", "u1")],
    ]
)
"""A ball of an organelle: centre and radius in nm, grey levels (rim: NaN without a membrane), stripes
across it (wave in periods per nm, contrast in grey levels), the index of its platelet in a scene,
and which organelle of its kind it belongs to, in its platelet."""


def fill(platelet: Platelet, neighbours: Iterable[Platelet], rng: np.random.Generator) -> Balls:
    """Draw the organelles of a platelet: apart from one another, and from its membrane."""
    extent = platelet.half_extent
    near = [n for n in neighbours if n.meets(platelet.centre, extent)]
    balls = np.empty(0, BALL)
    for kind in KINDS:
        chains, radii = _candidates(kind, platelet, rng)
        radii = np.minimum(radii, _room(chains, kind.radii_nm[0], platelet, near))
        chosen = _choose(kind, chains, radii, balls)
        balls = np.concatenate([balls, _balls(kind, chains[chosen], radii[chosen], platelet, rng)])
    return balls


def _candidates(
    kind: Kind, platelet: Platelet, rng: np.random.Generator, tries: int = 7
) -> tuple[Array, Array]:
    """Return chains (tries * count, n_balls, 3) and radii (tries * count,), in nm.

    Those of a try are spread evenly along z, one to a stratum, so that even a thin volume meets
    every class.
    """
    n = tries * kind.count
    stratum = (np.arange(n) % kind.count + rng.uniform(size=n)) / kind.count
    along_z = 1.6 * stratum - 0.8
    radial = np.sqrt(rng.uniform(0, 0.9, n) * (1 - along_z**2))
    angle = rng.uniform(0, 2 * np.pi, n)
    anchors = np.stack([along_z, radial * np.sin(angle), radial * np.cos(angle)], axis=1)
    # A point of the unit ball, carried into the ellipsoid; the Cholesky factor keeps z the first axis.
    anchors = platelet.centre + anchors @ np.linalg.cholesky(np.linalg.inv(platelet.metric)).T
    radii = rng.uniform(*kind.radii_nm, n)
    heading = directions(rng, (n, 1)) + kind.bend * rng.standard_normal((n, kind.n_balls, 3)).cumsum(axis=1)
    steps = heading / np.linalg.norm(heading, axis=-1, keepdims=True) * (kind.step * radii)[:, None, None]
    walk = steps.cumsum(axis=1)
    return anchors[:, None] + walk - walk.mean(axis=1, keepdims=True), radii


def _room(chains: Array, least_nm: float, platelet: Platelet, neighbours: list[Platelet]) -> Array:
    """Return the greatest radius (n,) in nm that keeps chains (n, balls, 3) clear of the platelet's membrane.

    The membrane is where its neighbours leave it. Where the room is below ``least_nm``, it may be too great.
    """
    margin = MEMBRANE_NM + RIM_NM / 2
    own = platelet.distance(chains)
    room: Array = -own.max(axis=1) - margin
    for neighbour in neighbours:
        kept = np.flatnonzero(room >= least_nm)
        halfway = (neighbour.distance(chains[kept]) - own[kept] - GAP_NM) / 2
        room[kept] = np.minimum(room[kept], halfway.min(axis=1) - margin)
    return room


def _choose(kind: Kind, chains: Array, radii: Array, balls: Balls) -> list[int]:
    """Return the candidates to keep, the first ones with room; shrinks their radii until they touch nothing.

    That packs them far more densely than refusing those that are too large.
    """
    least = kind.radii_nm[0]
    candidates = np.flatnonzero(radii >= least).tolist()
    if kind.label == _CELL:
        return candidates[: kind.count]  # specks: painted first, organelles cover them
    centres, sizes = balls["centre"], balls["radius"]
    chosen: list[int] = []
    for i in candidates:
        offsets = chains[i][:, None] - centres
        free = np.sqrt(np.einsum("abi,abi->ab", offsets, offsets)) - sizes - 1.5 * RIM_NM
        radii[i] = min(radii[i], free.min(initial=np.inf))
        if radii[i] >= least:
            chosen.append(i)
            centres = np.concatenate([centres, chains[i]])
            sizes = np.concatenate([sizes, np.full(kind.n_balls, radii[i])])
        if len(chosen) == kind.count:
            break
    return chosen


def _balls(kind: Kind, chains: Array, radii: Array, platelet: Platelet, rng: np.random.Generator) -> Balls:
    balls = np.zeros(chains.shape[:2], BALL)
    balls["centre"] = chains
    balls["radius"] = radii[:, None] * rng.uniform(0.88, 1.0, balls.shape)
    balls["label"] = kind.label
    balls["place"] = np.arange(len(chains))[:, None]
    balls["grey"] = kind.grey + platelet.brightness + rng.normal(0, kind.spread, len(chains))[:, None]
    balls["rim"] = np.nan if kind.rim is None else kind.rim + platelet.brightness
    balls["wave"] = directions(rng, (len(chains), 1)) / _CRISTAE_NM
    balls["stripes"] = kind.stripes
    if kind.label == _DENSE_BODY:
        balls = np.concatenate([balls, _cores(balls, platelet, rng)])
    return balls.ravel()


def _cores(bodies: Balls, platelet: Platelet, rng: np.random.Generator) -> Balls:
    """Return a core for each body: smaller, off the centre, wholly inside."""
    cores = bodies.copy()
    ratio = rng.uniform(0.6, 0.72, bodies.shape)
    shift = (0.78 - ratio) * bodies["radius"]
    cores["radius"] *= ratio
    cores["centre"] += directions(rng, bodies.shape) * shift[..., None]
    cores["label"] = _DENSE_CORE
    cores["grey"] = 30 + platelet.brightness / 2 + rng.normal(0, 8, bodies.shape)
    cores["rim"] = np.nan
    return cores
