"""Sets of possible numbers for a value or a delta: those that can be built, and those that a search draws from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

Number = int | float


@dataclass(frozen=True)
class Interval:
    """A closed interval of floats."""

    low: float
    high: float

    def __contains__(self, value: Number) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    @property
    def width(self) -> float:
        """From end to end; 0 has no room."""
        return self.high - self.low

    def moved(self, value: Number, step: float) -> float:
        """Return ``value`` moved by ``step``, then clipped."""
        return self.clip(value + step)

    def draw(self, rng: Generator) -> float:
        """Draw uniformly."""
        return float(rng.uniform(self.low, self.high))

    def clip(self, value: Number) -> float:
        """Return the nearest value inside."""
        return float(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Integers:
    """Integers in ascending order, such as a range."""

    values: range | tuple[int, ...]

    def __contains__(self, value: Number) -> bool:
        return value in self.values

    def __str__(self) -> str:
        if isinstance(self.values, range):
            step = f" in steps of {self.values.step}" if self.values.step > 1 else ""
            return f"{self.values[0]} to {self.values[-1]}{step}"
        return ", ".join(map(str, self.values))

    @property
    def width(self) -> int:
        """Places from end to end; 0 has no room."""
        return len(self.values) - 1

    def moved(self, value: Number, step: float) -> int:
        """Return the value ``step`` places from the nearest to ``value``; rounded away from 0, then clipped."""
        place = self.values.index(self.clip(value)) + math.copysign(math.ceil(abs(step)), step)
        return self.values[int(min(max(place, 0), self.width))]

    def draw(self, rng: Generator) -> int:
        """Draw uniformly."""
        return self.values[int(rng.integers(len(self.values)))]

    def clip(self, value: Number) -> int:
        """Return the nearest value inside; of two, the smaller."""
        if isinstance(self.values, range) and self.values.step == 1:
            return int(min(max(value, self.values[0]), self.values[-1]))
        return min(self.values, key=lambda v: (abs(v - value), v))


Region = Interval | Integers
