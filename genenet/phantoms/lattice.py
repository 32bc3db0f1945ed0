"""The unbounded lattice on which platelets are placed: any box of it can be made independently, in any order."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from genenet.phantoms.organelles import BALL, Balls, fill
from genenet.phantoms.platelets import (
    REACH_NM,
    SPACING_NM,
    Array,
    Platelet,
    Site,
    draw_platelet,
    generator,
    site_key,
)


@dataclass(frozen=True)
class Scene:
    """The platelets that a box may meet, and their organelles as balls, each with the index of its platelet."""

    sites: list[Site]
    platelets: list[Platelet]
    balls: Balls


@dataclass
class Lattice:
    """All platelets of a seed, each made when it is first asked for.

    Boxes must be asked for from the top down, since platelets above a box are dropped.
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
        return Scene(met, [self._platelet(site) for site in met], np.concatenate(balls))

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
            rng = generator(self.seed, 1, *site_key(site))
            self._organelles[site] = fill(self._platelet(site), neighbours, rng)
        return self._organelles[site]
