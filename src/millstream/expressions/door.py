"""The door of the row language: foreign frames and scalars become values that every compiler reads alike.

``value`` needs the standard library only; the functions of frames bring Polars in when they are first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.expressions.values import value
from millstream.types import DType

if TYPE_CHECKING:
    import polars as pl

__all__ = ["frame", "schema", "value"]


def frame(frame: pl.DataFrame, *, timezone: str | None, where: str) -> pl.DataFrame:
    """Turn a frame into values of the row language.

    Parameters
    ----------
    frame
        Any Polars frame.
    timezone
        Zone of its naive times, such as ``"America/New_York"``; a time that occurs twice (clocks go back) is taken
        as the earlier.
    where
        What the frame is, for messages: ``"table schedule"``.

    Returns
    -------
    pl.DataFrame
        The same columns and rows: integers Int64, other numbers Float64 with NaN and infinities NULL, categories
        text, times ``Datetime("us", "UTC")``, lengths of time ``Duration("us")``; dates, text and booleans as they
        are; a column of type Null is Float64. Columns that are so already are passed on without a copy.

    Raises
    ------
    BadData
        Naming the column: naive times and no zone, a time that did not exist (clocks went forward), an integer
        beyond 64 bits, a time outside of the years 1 to 9999, a type the language does not have.
    """
    from millstream.expressions.frames import admit

    return admit(frame, timezone=timezone, where=where)


def schema(frame: pl.DataFrame) -> dict[str, DType]:
    """Name the type of each column of a frame in the row language.

    Raises
    ------
    BadData
        When a column has a type the language does not have, even after the door.
    """
    from millstream.expressions.frames import schema_of

    return schema_of(frame)
