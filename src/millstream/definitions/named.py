"""Column names as people give them: one after the other, or as one list."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.errors import DefinitionError


def names(given: Sequence[str | Sequence[str]], what: str) -> tuple[str, ...]:
    """Return column names given one by one or as one list.

    Raises
    ------
    DefinitionError
        For anything else than names.

    >>> names(("store", "kind"), "expected"), names((["store", "kind"],), "expected")
    (('store', 'kind'), ('store', 'kind'))
    """
    found = [each for one in given for each in ([one] if isinstance(one, str) else one)]
    wrong = next((each for each in found if not isinstance(each, str)), None)
    if wrong is not None:
        raise DefinitionError(
            f"checks.{what} was given {wrong!r}", expected=f"names of columns: checks.{what}('a', 'b') or (['a', 'b'])"
        )
    return tuple(found)


def one(given: object, what: str) -> str:
    """Return the one column name of a check that takes one.

    Raises
    ------
    DefinitionError
        For a list of names, or no text.
    """
    if isinstance(given, str):
        return given
    each = "each" if isinstance(given, list | tuple | set | frozenset) else None
    raise DefinitionError(
        f"checks.{what} takes one column, and was given {given!r}",
        expected="the name of a column",
        do=f"checks=[*(checks.{what}(each, ...) for each in {list(given)!r}), ...]" if each else "",  # type: ignore[call-overload]
    )
