"""What a feature is: a window over the facts of an entity, or an expression over the request.

The same words say a label that looks ahead: ``of`` names the table of its facts, ``ahead`` the window's length.
``over`` is the window's length; without it the window is all that is known. Every window follows one rule: a fact
is in a window of length w at T when event_time <= T < event_time + w, it is known at T, and its value is the
latest believed at T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec

from millstream.definitions.recipes import calendar as calendar
from millstream.definitions.recipes import cosine as cosine
from millstream.definitions.recipes import crossed as crossed
from millstream.definitions.recipes import cycle as cycle
from millstream.definitions.recipes import dot as dot
from millstream.definitions.recipes import missing as missing
from millstream.definitions.recipes import named_elements
from millstream.definitions.recipes import norm as norm
from millstream.definitions.recipes import one_hot as one_hot
from millstream.definitions.recipes import products as products
from millstream.definitions.role import Role
from millstream.definitions.rows import At
from millstream.definitions.table import Table
from millstream.errors import DefinitionError, near
from millstream.types import DType

if TYPE_CHECKING:
    from millstream.definitions.view import FeatureView

Aggregate: TypeAlias = Literal[
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "std",
    "last",
    "any",
    "none",
    "first",
    "distinct",
    "quantile",
    "trend",
    "since_last",
    "since_first",
    "target",
]


class Window(msgspec.Struct, frozen=True):
    """One aggregate over the facts of an entity.

    Parameters
    ----------
    aggregate
        What is computed.
    value
        A row expression over the view's table; None takes the facts themselves.
    over
        Length of the window looking back, or None for all that is known.
    ahead
        Length of the window looking forward; only a label may have one.
    of, on
        For a label: the table of its facts, and which of its columns name the entity, by the rows' columns that hold
        it (columns of one name when left out).
    where
        A row expression; only facts for which it is true count.
    at
        For a label: where its window begins.
    ago
        How much earlier the window ends than the instant that asks; None for not at all. What is known is what is
        known at that instant all the same.
    q
        For a quantile: which, from 0 to 1.
    smooth
        For a target mean: how many labels of the usual kind an entity is taken to have besides its own.
    """

    aggregate: Aggregate
    value: str | None = None
    over: str | None = None
    ahead: str | None = None
    of: str | None = None
    where: str | None = None
    on: dict[str, str] | None = None
    at: At = "decided_at"
    ago: str | None = None
    q: float | None = None
    smooth: float | None = None


_MEANT = {
    **dict.fromkeys(("int", "integer", "int64", "int32", "smallint", "long", "<class 'int'>"), "write 'bigint'"),
    **dict.fromkeys(("float", "float64", "real", "number", "decimal", "<class 'float'>"), "write 'double'"),
    **dict.fromkeys(("str", "string", "text", "object", "<class 'str'>"), "write 'varchar'"),
    **dict.fromkeys(("bool", "<class 'bool'>"), "write 'boolean'"),
    **dict.fromkeys(("datetime", "time"), "write 'timestamptz'"),
}
"""Names that other houses give to types, and what to write instead."""


@dataclass(frozen=True, init=False)
class Request:
    """What is there when a prediction is asked for: fields that come with it, and features of other views.

    Parameters
    ----------
    views
        Feature views, or roles of them, whose features expressions may combine, as ``view.feature``. The model does
        not see these features unless it lists their view itself.
    fields
        Name to type of the row language.

    Raises
    ------
    DefinitionError
        For what is no view, and for a type the row language has not.

    >>> Request(distance="double").fields
    {'distance': 'double'}
    """

    fields: dict[str, DType]
    roles: tuple[Role, ...] = ()

    def __init__(self, /, *views: FeatureView | Role, **fields: DType) -> None:
        for each in views:
            if not isinstance(each, Role) and not hasattr(each, "on"):
                raise DefinitionError(
                    f"f.Request was given {each!r}, which is no feature view",
                    expected="views themselves, not their names: f.Request(view, ...), and fields as field='double'",
                )
        for name, dtype in fields.items():
            if dtype not in get_args(DType):
                raise DefinitionError(
                    f"field {name!r} of a request is {dtype!r}, which is no type",
                    expected=", ".join(get_args(DType)),
                    do=_MEANT.get(str(dtype).lower(), near(str(dtype), get_args(DType))),
                )
        roles = tuple(each if isinstance(each, Role) else each.on({}, name=each.name) for each in views)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "roles", roles)


@dataclass(frozen=True)
class _Ahead:
    """What only a label says of its window."""

    of: Table | str | None
    ahead: str | None
    on: Mapping[str, str] | None
    at: At


@dataclass(frozen=True)
class _Back:
    """What is said of the facts a window takes."""

    over: str | None
    where: str | None
    ago: str | None


def count(
    value: str | None = None,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Count facts (or those whose value is not NULL); 0 for none."""
    return _window("count", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def sum(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Sum values; 0 for an entity already seen, NULL for one never seen."""
    return _window("sum", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def mean(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Average values; a boolean gives a share. NULL for none."""
    return _window("mean", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def min(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Smallest value; NULL for none."""
    return _window("min", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def max(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Largest value; NULL for none."""
    return _window("max", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def std(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Sample standard deviation (n - 1); NULL for fewer than two values."""
    return _window("std", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def last(
    value: str,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Value of the latest event (by event time, then known-at); NULL for none."""
    return _window("last", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def any(
    value: str | None = None,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Whether the value was true for any fact; NULL for none. Of a label, without facts: false."""
    return _window("any", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def none(
    value: str | None = None,
    *,
    over: str | None = None,
    where: str | None = None,
    of: Table | str | None = None,
    ahead: str | None = None,
    on: Mapping[str, str] | None = None,
    at: At = "decided_at",
    ago: str | None = None,
) -> Window:
    """Whether the value was true for no fact; NULL for none. Of a label, without facts: true."""
    return _window("none", value, _Back(over, where, ago), _Ahead(of, ahead, on, at))


def target(value: str, *, over: str | None = None, where: str | None = None, smooth: float = 20.0) -> Window:
    """Average known labels of the entity, drawn toward everybody's: target encoding that cannot leak.

    Of ``n`` labels known at the instant with mean ``m``, and everybody's mean ``u`` when that day began, it is
    ``(n m + smooth u) / (n + smooth)``; NULL for an entity none of whose labels is known. Of a table without time a
    row is encoded in training by the labels of rows in four other fifths, never its own.

    Parameters
    ----------
    value
        The label, as a row expression over the view's table: a truth value or a number.
    over, where
        As of every window.
    smooth
        How many labels of the usual kind each entity is taken to have besides its own; 0 for none.

    >>> target("arr_delay > 15", smooth=50).smooth
    50.0
    """
    if isinstance(smooth, bool) or not isinstance(smooth, int | float) or not 0 <= smooth < 1e12:
        raise DefinitionError(f"target({value!r}) has smooth={smooth!r}", expected="how many labels, 0 or more")
    found = _window("target", value, _Back(over, where, None))
    return msgspec.structs.replace(found, smooth=float(smooth))


def elements(column: str, size: int, *, over: str | None = None, where: str | None = None) -> dict[str, Window]:
    """Keep the last known embedding of an entity, element by element: ``e_1`` to ``e_size``.

    Parameters
    ----------
    column
        An array that a derived table gives, ``e``: its rows hold the elements as columns ``e_1`` to ``e_size``.
    size
        How many elements it has, 1 to 128.
    over, where
        As of every window. An element that is NULL is passed over by itself, so of an array with some elements NULL
        the others are newer than those: ``where="whole"`` takes only arrays of which a column of the table says so.

    >>> sorted(elements("e", 2))
    ['e_1', 'e_2']
    """
    return {each: last(each, over=over, where=where) for each in named_elements(column, size)}


def first(value: str, *, over: str | None = None, where: str | None = None, ago: str | None = None) -> Window:
    """Value of the earliest event in the window (by event time, then known-at); NULL for none."""
    return _window("first", value, _Back(over, where, ago))


def distinct(value: str, *, over: str | None = None, where: str | None = None, ago: str | None = None) -> Window:
    """Count different values; 0 for none."""
    return _window("distinct", value, _Back(over, where, ago))


def quantile(
    value: str, q: float, *, over: str | None = None, where: str | None = None, ago: str | None = None
) -> Window:
    """Value below which a share ``q`` (0 to 1) lies, between two neighbours by a straight line; NULL for none.

    >>> quantile("amount", 0.5, over="28d").q
    0.5
    """
    return msgspec.structs.replace(_window("quantile", value, _Back(over, where, ago)), q=q)


def trend(value: str, *, over: str | None = None, where: str | None = None, ago: str | None = None) -> Window:
    """Slope of the straight line through values over event time, per day; NULL unless two instants have a value."""
    return _window("trend", value, _Back(over, where, ago))


def since_last(
    value: str | None = None, *, over: str | None = None, where: str | None = None, ago: str | None = None
) -> Window:
    """Days since the latest event in the window (with a value that is not NULL); NULL for none."""
    return _window("since_last", value, _Back(over, where, ago))


def since_first(
    value: str | None = None, *, over: str | None = None, where: str | None = None, ago: str | None = None
) -> Window:
    """Days since the earliest event in the window (with a value that is not NULL); NULL for none."""
    return _window("since_first", value, _Back(over, where, ago))


_WRITTEN = (
    "calendar", "cosine", "crossed", "cycle", "dot", "elements", "missing", "norm", "one_hot", "products",
)  # fmt: skip


def __getattr__(name: str) -> object:
    words = [*get_args(Aggregate), *_WRITTEN, "Request", "Window"]
    raise AttributeError(f"there is no f.{name}: {near(name, words)}" if not name.startswith("__") else name)


_ONLY_BACK = _Ahead(None, None, None, "decided_at")


def _window(aggregate: Aggregate, value: str | None, back: _Back, said: _Ahead = _ONLY_BACK) -> Window:
    of = said.of.name if isinstance(said.of, Table) else said.of
    on = None if said.on is None else dict(said.on)
    return Window(aggregate, value, back.over, said.ahead, of, back.where, on, said.at, back.ago)
