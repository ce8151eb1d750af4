"""What features are often made of, written out as expressions: merge them into ``features={...}`` of a request view.

Each returns name to expression, nothing else: what a release holds, and what people read, is the expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations
from typing import Literal, TypeAlias

from millstream.errors import DefinitionError

Round: TypeAlias = Literal["day", "week", "year"]
_ROUNDS: tuple[Round, ...] = ("day", "week", "year")
_MOST_VALUES = 1_000
_MOST_ELEMENTS = 128


def one_hot(column: str, values: Iterable[str | int | bool], *, other: bool = False) -> dict[str, str]:
    """Say for each of some values whether a column has it; a NULL has none of them.

    Parameters
    ----------
    column
        A field of the request, or ``view.feature``.
    values
        The values, of one kind. Others are none of them.
    other
        Whether to say, too, that it has a value that is none of these.

    Raises
    ------
    DefinitionError
        For no value, a value twice, or two whose features would have one name.

    >>> one_hot("carrier", ["AA", "UA"])
    {'carrier_AA': "carrier is not distinct from 'AA'", 'carrier_UA': "carrier is not distinct from 'UA'"}
    """
    listed = list(values)
    if not 1 <= len(listed) <= _MOST_VALUES:
        raise DefinitionError(
            f"one_hot({column!r}) has {len(listed)} values", expected=f"1 to {_MOST_VALUES}",
            do="" if not listed else f"hash_bucket({column}, 64) takes any number of values",
        )  # fmt: skip
    made = [(_name(column, str(each)), f"{column} is not distinct from {_literal(each)}") for each in listed]
    if other:
        inside = ", ".join(_literal(each) for each in listed)
        made.append((_name(column, "other"), f"coalesce({column} not in ({inside}), false)"))
    return _unique(made, f"one_hot({column!r})")


def missing(*columns: str) -> dict[str, str]:
    """Say for each column whether it has no value.

    >>> missing("distance")
    {'distance_missing': 'distance is null'}
    """
    return _unique([(_name(each, "missing"), f"{each} is null") for each in columns], "missing")


def cycle(column: str, *rounds: Round, timezone: str) -> dict[str, str]:
    """Put an instant on circles, so that 23:59 is close to 0:00: sine and cosine for each round.

    Parameters
    ----------
    column
        A column of instants.
    rounds
        ``day``, ``week`` (from Monday) and ``year``; day and week when left out.
    timezone
        Whose clock it is.

    >>> cycle("at", "day", timezone="UTC")["at_day_sin"]
    "sin(2 * pi() * day_fraction(at at time zone 'UTC'))"
    """
    wrong = [each for each in rounds if each not in _ROUNDS]
    if wrong:
        raise DefinitionError(f"cycle({column!r}) knows no round {wrong[0]!r}", expected="day, week or year")
    made = []
    for each in rounds or ("day", "week"):
        angle = f"2 * pi() * {each}_fraction({column} at time zone {_literal(timezone)})"
        made += [(_name(column, f"{each}_sin"), f"sin({angle})"), (_name(column, f"{each}_cos"), f"cos({angle})")]
    return _unique(made, f"cycle({column!r})")


def calendar(column: str, *, timezone: str, holidays: str | None = None) -> dict[str, str]:
    """Take an instant apart: hour, day of the week, day, week and month, and what holidays are near.

    Parameters
    ----------
    column
        A column of instants.
    timezone
        Whose clock it is.
    holidays
        Whose holidays: a country (``US``), a part of one (``US-NY``) or a market (``XNYS``).

    >>> sorted(calendar("at", timezone="UTC"))
    ['at_day', 'at_hour', 'at_isodow', 'at_month', 'at_week', 'at_weekend']
    """
    local = f"{column} at time zone {_literal(timezone)}"
    made = [(_name(column, part), f"{part}({local})") for part in ("hour", "isodow", "day", "week", "month")]
    made.append((_name(column, "weekend"), f"isodow({local}) >= 6"))
    if holidays is not None:
        code = _literal(holidays)
        named = {
            "holiday": "is_holiday", "working_day": "is_working_day", "until_holiday": "days_until_holiday",
            "since_holiday": "days_since_holiday",
        }  # fmt: skip
        made += [(_name(column, name), f"{function}({local}, {code})") for name, function in named.items()]
    return _unique(made, f"calendar({column!r})")


def products(*columns: str) -> dict[str, str]:
    """Multiply every two of some numbers.

    >>> products("price", "discount")
    {'price_x_discount': 'price * discount'}
    """
    pairs = [(_name(one, "x", two), f"{one} * {two}") for one, two in combinations(columns, 2)]
    return _unique(pairs, "products")


def crossed(*columns: str, buckets: int) -> dict[str, str]:
    """Put the values of several texts together, into so many buckets; NULL when one of them is.

    >>> crossed("origin", "dest", buckets=64)
    {'origin_x_dest': "hash_bucket(origin || ' & ' || dest, 64)"}
    """
    text = " || ' & ' || ".join(columns)
    return {_name(*_between(columns, "x")): f"hash_bucket({text}, {buckets})"}


def dot(one: str, two: str, size: int) -> str:
    """Multiply two embeddings, element by element, and add up; NULL when an element is.

    >>> dot("a.e", "b.e", 2)
    'a.e_1 * b.e_1 + a.e_2 * b.e_2'
    """
    return " + ".join(f"{x} * {y}" for x, y in zip(named_elements(one, size), named_elements(two, size), strict=True))


def norm(column: str, size: int) -> str:
    """Take the length of an embedding.

    >>> norm("a.e", 2)
    'sqrt(a.e_1 * a.e_1 + a.e_2 * a.e_2)'
    """
    return f"sqrt({dot(column, column, size)})"


def cosine(one: str, two: str, size: int) -> str:
    """Take the cosine of the angle between two embeddings; NULL when one has no length.

    >>> cosine("a.e", "b.e", 1)
    '(a.e_1 * b.e_1) / (sqrt(a.e_1 * a.e_1) * sqrt(b.e_1 * b.e_1))'
    """
    return f"({dot(one, two, size)}) / ({norm(one, size)} * {norm(two, size)})"


def named_elements(column: str, size: int) -> list[str]:
    """Name the columns of an embedding's elements, the first ``column_1``."""
    if not 1 <= size <= _MOST_ELEMENTS:
        raise DefinitionError(
            f"an embedding {column!r} has {size} elements", expected=f"1 to {_MOST_ELEMENTS}",
            do="reduce it before, for instance by principal components in a step",
        )  # fmt: skip
    return [f"{column}_{each}" for each in range(1, size + 1)]


def _between(columns: Iterable[str], word: str) -> list[str]:
    return [part for each in columns for part in (word, each)][1:]


def _name(*parts: str) -> str:
    return "_".join(re.sub(r"\W+", "_", each).strip("_") or "blank" for each in parts)


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _unique(made: Iterable[tuple[str, str]], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in made:
        if name in found:
            raise DefinitionError(
                f"{where} makes two features called {name!r}: {found[name]} and {text}",
                expected="one name, one feature",
                do="write one of them by hand, under another name",
            )
        found[name] = text
    return found
