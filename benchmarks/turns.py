"""Measures contenders by turns, and compares what came of it. Pure: what is measured is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Sample = dict[str, float]
"""What one turn measured, by the metric's name."""
Rounds = dict[str, list[Sample]]
"""The samples of each contender, one a round."""

Contender = TypeVar("Contender")


@dataclass(frozen=True, slots=True)
class Spread:
    """A median over the rounds, and the lowest and the highest of them."""

    middle: float
    low: float
    high: float


def by_turns(
    contenders: Sequence[Contender], rounds: int, name: Callable[[Contender], str], one: Callable[[Contender], Sample]
) -> Rounds:
    """
    Let every contender have its turn in each round, the first of them another one each time.

    So whatever slows the machine down for a while slows all of them down, and none always comes after the same other.
    """
    samples: Rounds = {name(contender): [] for contender in contenders}
    for number in range(rounds):
        first = number % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            samples[name(contender)].append(one(contender))
    return samples


def values(rounds: Rounds, contender: str, metric: str) -> list[float]:
    """Return one metric of a contender, a value a round."""
    return [sample[metric] for sample in rounds[contender]]


def spread(numbers: Sequence[float]) -> Spread:
    """Return the median of *numbers* and how far they lie apart."""
    return Spread(median(numbers), min(numbers), max(numbers))


def ratio(rounds: Rounds, metric: str, contender: str, other: str) -> Spread:
    """Return *contender*'s metric over *other*'s: the median of the ratios within each round."""
    pairs = zip(values(rounds, contender, metric), values(rounds, other, metric), strict=True)
    return spread([ours / theirs for ours, theirs in pairs])


def difference(rounds: Rounds, metric: str, contender: str, other: str) -> Spread:
    """Return *contender*'s metric less *other*'s: the median of the differences within each round."""
    pairs = zip(values(rounds, contender, metric), values(rounds, other, metric), strict=True)
    return spread([ours - theirs for ours, theirs in pairs])
