"""The record of one function of the row language: all that the parser and the three compilers must know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from millstream.types import DType

Nulls = Literal["any", "own"]
Check = Literal["", "finite", "bigint", "interval", "timestamptz", "date"]


@dataclass(frozen=True)
class Function:
    """One signature of a function.

    Parameters
    ----------
    name
        As it is written.
    arguments
        Types of the arguments; with ``variadic`` the last may repeat, at least once.
    result
        Type of the result.
    python
        Python source of the result: ``{0}``, ``{1}`` are arguments, ``{all}`` all of them, separated by commas. Names
        are those of ``kernel``. Times are integers: microseconds, or days for dates, since 1970.
    polars
        Takes ``kernel_polars`` and one Polars expression (constant arguments: their Python value) for each argument.
        Where ``check`` bounds an integer, arguments arrive as 128-bit integers.
    sql
        DuckDB SQL, with the same places as ``python``. Intervals are BIGINT microseconds there.
    nulls
        ``any``: NULL when an argument is NULL. ``own``: the function decides.
    check
        What the result must satisfy: ``finite`` (else NULL), or the range of an integer type (else an error).
    constants
        Places that must be literals.
    prepare
        Name in ``kernel`` of what turns the last constant into what ``python`` uses, once.
    variadic
        Whether the last argument may repeat.
    fails
        Whether it may raise, other than by its check.
    nullable
        Whether it may give NULL when no argument is NULL, other than by its check.
    says, example
        For the documentation: what it does, and an expression without columns.
    """

    name: str
    arguments: tuple[DType, ...]
    result: DType
    python: str
    polars: Callable[..., Any]
    sql: str
    nulls: Nulls = "any"
    check: Check = ""
    constants: tuple[int, ...] = ()
    prepare: str = ""
    variadic: bool = False
    fails: bool = False
    nullable: bool = False
    says: str = ""
    example: str = ""

    @property
    def signature(self) -> str:
        """Name it uniquely; this is what expressions keep."""
        return f"{self.name}({', '.join(self.arguments)}{', ...' if self.variadic else ''})"

    @property
    def raises(self) -> bool:
        """Say whether some values make it an error."""
        return self.fails or self.bounded

    @property
    def bounded(self) -> bool:
        """Say whether the result is an integer whose range is checked."""
        return self.check not in ("", "finite")

    def argument(self, place: int) -> DType:
        """Return the type of the argument at a place."""
        return self.arguments[min(place, len(self.arguments) - 1)]

    def is_constant(self, place: int) -> bool:
        """Say whether the argument at a place must be a literal."""
        return min(place, len(self.arguments) - 1) in self.constants

    def takes(self, count: int) -> bool:
        """Say whether it takes that many arguments."""
        return count >= len(self.arguments) if self.variadic else count == len(self.arguments)
