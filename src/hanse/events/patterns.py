"""Patterns over event types: exact words, `*` for one word, `#` at the end for one or more words."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from hanse.core.errors import ConfigurationError

_PATTERN = re.compile(r"(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|#)")


def check_pattern(pattern: str) -> None:
    """Raise ConfigurationError unless `pattern` is well formed."""
    if _PATTERN.fullmatch(pattern) is None:
        raise ConfigurationError(
            f'event pattern "{pattern}" must be dotted words; "*" is one word, "#" at the end all that follow'
        )


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    words = {"*": r"[^.]+", "#": r".+"}
    return re.compile(r"\.".join(words.get(word, re.escape(word)) for word in pattern.split(".")))


def matches(pattern: str, event_type: str) -> bool:
    """True when events of this type are asked for by the pattern."""
    return _expression(pattern).fullmatch(event_type) is not None


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A test of event types against any of `patterns`, fast for types seen before."""
    expressions = [_expression(pattern) for pattern in patterns]

    @lru_cache(maxsize=4096)
    def test(event_type: str) -> bool:
        return any(expression.fullmatch(event_type) for expression in expressions)

    return test


def covers(wide: str, narrow: str) -> bool:
    """True when every type that `narrow` matches is matched by `wide` too."""
    ours, theirs = wide.split("."), narrow.split(".")
    for place, word in enumerate(ours):
        if word == "#":
            return len(theirs) > place
        if place >= len(theirs) or theirs[place] == "#" or (word != "*" and word != theirs[place]):
            return False
    return len(ours) == len(theirs)


def overlap(one: str, other: str) -> bool:
    """True when some type matches both patterns."""
    ours, theirs = one.split("."), other.split(".")
    for mine, its in zip(ours, theirs, strict=False):
        if "#" in (mine, its):
            return True
        if "*" not in (mine, its) and mine != its:
            return False
    return len(ours) == len(theirs)


def _union(one: str, other: str) -> str:
    """The narrowest pattern that covers both; for patterns that overlap."""
    if covers(one, other):
        return one
    if covers(other, one):
        return other
    words: list[str] = []
    for mine, its in zip(one.split("."), other.split("."), strict=False):
        if "#" in (mine, its):
            words.append("#")
            break
        words.append(mine if mine == its else "*")
    return ".".join(words)


def disjoint(patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns that match at least what `patterns` match, no two of which overlap; sorted.

    Brokers refuse overlapping filters on one consumer. The result may be wider than what was asked for (of `a.*` and
    `*.b` it makes `*.*`): filter deliveries with `matcher`.
    """
    found: list[str] = []
    for pattern in patterns:
        merged = pattern
        while hit := next((other for other in found if overlap(merged, other)), None):
            found.remove(hit)
            merged = _union(merged, hit)
        found.append(merged)
    return tuple(sorted(found))
