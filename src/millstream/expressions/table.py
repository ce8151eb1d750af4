"""The closed table of functions, and how a call finds its row."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.expressions import bins, casts, circles, feasts, logic, numbers, texts, times
from millstream.expressions.function import Function
from millstream.types import DType

FUNCTIONS: dict[str, Function] = {
    each.signature: each
    for room in (logic, numbers, bins, circles, texts, times, feasts, casts)
    for each in room.FUNCTIONS
}
"""Every function, by signature."""


def _by_name() -> dict[str, list[Function]]:
    found: dict[str, list[Function]] = {}
    for each in FUNCTIONS.values():
        found.setdefault(each.name, []).append(each)
    return found


BY_NAME: dict[str, list[Function]] = _by_name()
"""Every signature of a name."""


def resolve(name: str, types: Sequence[DType | None]) -> Function | None:
    """Find the signature for argument types (None: NULL, any type); a bigint may become a double, nothing else."""
    best: tuple[int, Function] | None = None
    for function in BY_NAME.get(name, ()):
        if not function.takes(len(types)):
            continue
        cost = 0
        for place, given in enumerate(types):
            wanted = function.argument(place)
            if given is None or given == wanted:
                continue
            if (given, wanted) != ("bigint", "double"):
                break
            cost += 1
        else:
            if best is None or cost < best[0]:
                best = (cost, function)
    return best[1] if best else None
