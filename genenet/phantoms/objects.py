"""What the phantom is made of, in nanometres and before any voxel: platelets and the organelles in them.

Platelets stand on an unbounded lattice and are jittered. Each is drawn from the seed and from its lattice
site only, hence any box of the lattice can be made by itself, in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Balls = NDArray[np.void]
Site = tuple[int, int, int]

SPACING_NM = np.array([1090.0, 990.0, 1300.0])
REACH_NM = np.array([1700.0, 1400.0, 1800.0])  # a platelet stays within this of its lattice site
GAP_NM = 60.0  # background left where two platelets would touch
MEMBRANE_NM = 22.0  # of a platelet
RIM_NM = 16.0  # membrane of an organelle, around its balls
_SITE_OFFSET = 8  # spawn keys are not negative, sites are, at the low border of the volume
_WAVELENGTHS_NM = np.array([1300.0, 650.0, 300.0, 160.0])
_AMPLITUDES_NM = np.array([55.0, 26.0, 11.0, 5.0])


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return the random stream of one part of the phantom: a site, a slice, a tile of noise."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def directions(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return unit vectors (*shape, 3), even over the sphere."""
    vectors = rng.standard_normal((*shape, 3))
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


@dataclass(frozen=True)
class Platelet:
    """A tilted ellipsoid whose surface is pushed in and out by plane waves.

    Attributes:
        centre: (z, y, x) in nm.
        metric: (3, 3), symmetric, in 1/nm²: p @ metric @ p = 1 on the ellipsoid around the centre.
        waves: (W, 3) wave vectors in rad/nm.
        phases: (W,) in rad.
        brightness: Grey levels that the whole platelet is brighter than the mean.
    """

    centre: Array
    metric: Array
    waves: Array
    phases: Array
    brightness: float

    @cached_property
    def half_extent(self) -> Array:
        """Half of the bounding box (3,) in nm, including the gap around the platelet."""
        half: Array = np.sqrt(np.diag(np.linalg.inv(self.metric))) + _AMPLITUDES_NM.sum() + GAP_NM
        return half

    @cached_property
    def squared_metric(self) -> Array:
        """The metric times itself, (3, 3) in 1/nm⁴; it gives the slope of the ellipsoid's equation."""
        return self.metric @ self.metric

    def meets(self, middle: Array, half: Array) -> bool:
        """Say whether the bounding box meets another, given by its middle and half its size, (3,) in nm."""
        return bool((np.abs(self.centre - middle) < self.half_extent + half).all())

    def distance(self, points: Array) -> Array:
        """Return the signed distance in nm from the surface, negative inside: (..., 3) -> (...).

        It is of first order (value over slope), good near the surface.
        """
        p = points - self.centre
        value = (p @ self.metric * p).sum(axis=-1)
        slope = np.sqrt((p @ self.squared_metric * p).sum(axis=-1))
        ripple = np.sin(p @ self.waves.T + self.phases) @ _AMPLITUDES_NM
        distance: Array = (value - np.sqrt(value)) / np.maximum(slope, 1e-9) + ripple
        return distance

    def distance_in_slice(self, z_nm: float, y_nm: Array, x_nm: Array) -> NDArray[np.float32]:
        """Return the same as `distance` for a grid of points: (Y,), (X,) -> (Y, X).

        Everything splits into rows and columns, so no sine is taken per pixel.
        """
        z, y, x = z_nm - self.centre[0], y_nm - self.centre[1], x_nm - self.centre[2]
        value = _quadratic_form(self.metric, z, y, x)
        slope = np.sqrt(_quadratic_form(self.squared_metric, z, y, x))
        distance = value - np.sqrt(value)
        distance /= np.maximum(slope, np.float32(1e-9), out=slope)
        for (kz, ky, kx), phase, amplitude in zip(self.waves, self.phases, _AMPLITUDES_NM, strict=True):
            row, column = kz * z + ky * y + phase, kx * x
            distance += _outer(amplitude * np.sin(row), np.cos(column))
            distance += _outer(amplitude * np.cos(row), np.sin(column))
        return distance


def _outer(y: Array, x: Array) -> NDArray[np.float32]:
    # By broadcasting: a matrix product may round differently for another crop of the same platelet.
    return y.astype(np.float32)[:, None] * x.astype(np.float32)


def _quadratic_form(m: Array, z: float, y: Array, x: Array) -> NDArray[np.float32]:
    rows = m[0, 0] * z * z + 2 * m[0, 1] * z * y + m[1, 1] * y * y
    columns = 2 * m[0, 2] * z * x + m[2, 2] * x * x
    form = _outer(2 * m[1, 2] * y, x)
    form += rows.astype(np.float32)[:, None]
    form += columns.astype(np.float32)
    return np.maximum(form, np.float32(0), out=form)  # rounding near the centre


def draw_platelet(seed: int, site: Site) -> Platelet:
    """Draw the platelet of a lattice site: its place, shape and brightness."""
    rng = generator(seed, 0, *(i + _SITE_OFFSET for i in site))
    centre = (np.array(site) + _stagger(site) + rng.uniform(-0.18, 0.18, 3)) * SPACING_NM
    radii = rng.uniform([460, 420, 680], [580, 540, 860])
    # Neighbours lie roughly along one another; the tilt out of the slices is smaller.
    turn, tilt = rng.normal(0.5, 0.35), rng.normal(0, 0.2)
    axes = _rotation(1, 2, turn) @ _rotation(0, 2, tilt)
    waves = directions(rng, _WAVELENGTHS_NM.shape) * (2 * np.pi / _WAVELENGTHS_NM[:, None])
    phases = rng.uniform(0, 2 * np.pi, _WAVELENGTHS_NM.shape)
    return Platelet(centre, axes @ np.diag(radii**-2) @ axes.T, waves, phases, rng.normal(0, 13))


def _stagger(site: Site) -> Array:
    # Without it, platelets would lie in layers and some slices would meet hardly any.
    _, row, column = site
    return np.array([(2 * row + column) % 4 / 4, 0.5, row % 2 / 2])


def _rotation(a: int, b: int, angle: float) -> Array:
    matrix = np.eye(3)
    matrix[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


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

BALL = np.dtype(
    [
        *[("centre", "f8", 3), ("radius", "f8"), ("label", "u1"), ("grey", "f4"), ("rim", "f4")],
        *[("wave", "f4", 3), ("stripes", "f4"), ("owner", "i4")],
    ]
)
"""A ball of an organelle: centre and radius in nm, grey levels (rim: NaN without a membrane), stripes
across it (wave in periods per nm, contrast in grey levels), and the index of its platelet in a scene."""


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

    That packs them far more densely than refusing whatever is too large.
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


@dataclass(frozen=True)
class Scene:
    """The platelets that a box may meet, and their organelles' balls (their owners: the index here)."""

    platelets: list[Platelet]
    balls: Balls


@dataclass
class Lattice:
    """All platelets of a seed, made when first asked for.

    Boxes are asked for from the top down: what lies above is dropped.
    """

    seed: int
    _platelets: dict[Site, Platelet] = field(default_factory=dict)
    _organelles: dict[Site, Balls] = field(default_factory=dict)

    def scene(self, low_nm: Array, high_nm: Array) -> Scene:
        """Return what may meet a box, given by two corners (z, y, x) in nm."""
        first = np.floor((low_nm - REACH_NM) / SPACING_NM).astype(int).tolist()
        last = np.floor((high_nm + REACH_NM) / SPACING_NM).astype(int).tolist()
        self._forget(first[0] - 2)
        middle, half = (low_nm + high_nm) / 2, (high_nm - low_nm) / 2
        layers, rows, columns = (range(a, b + 1) for a, b in zip(first, last, strict=True))
        met = [site for site in product(layers, rows, columns) if self._platelet(site).meets(middle, half)]
        balls = [np.empty(0, BALL), *map(self._fill, met)]
        for owner, own in enumerate(balls, start=-1):
            own["owner"] = owner
        return Scene([self._platelet(site) for site in met], np.concatenate(balls))

    def _forget(self, layer: int) -> None:
        self._platelets = {site: p for site, p in self._platelets.items() if site[0] >= layer}
        self._organelles = {site: b for site, b in self._organelles.items() if site[0] >= layer}

    def _platelet(self, site: Site) -> Platelet:
        if site not in self._platelets:
            self._platelets[site] = draw_platelet(self.seed, site)
        return self._platelets[site]

    def _fill(self, site: Site) -> Balls:
        if site not in self._organelles:
            around = [step for step in product((-2, -1, 0, 1, 2), (-1, 0, 1), (-1, 0, 1)) if any(step)]
            neighbours = (self._platelet((site[0] + a, site[1] + b, site[2] + c)) for a, b, c in around)
            rng = generator(self.seed, 1, *(i + _SITE_OFFSET for i in site))
            self._organelles[site] = fill(self._platelet(site), neighbours, rng)
        return self._organelles[site]
