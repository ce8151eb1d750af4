"""From Polars to pandas by way of numpy: no Arrow library is needed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Return a frame as pandas has it.

    Whole numbers and truth values with NULLs become pandas' nullable types, so that no 7 turns into 7.0; instants keep
    their zone, dates become midnights without zone, texts pandas' ``str``.

    Parameters
    ----------
    frame
        Any frame of the lake or of a query.

    Examples
    --------
    >>> to_pandas(pl.DataFrame({"n": [1, None], "t": ["a", None]}))["n"].isna().tolist()
    [False, True]
    """
    import pandas as pd

    columns = {name: _column(frame[name]) for name in frame.columns}
    return pd.DataFrame(columns, index=pd.RangeIndex(frame.height), copy=False)


def _column(series: pl.Series) -> Any:
    import pandas as pd

    dtype, nulls = series.dtype, bool(series.null_count())
    if dtype.is_integer() or dtype == pl.Boolean:
        values = series.fill_null(False if dtype == pl.Boolean else 0).to_numpy()
        if not nulls:
            return values
        masked = pd.arrays.BooleanArray if dtype == pl.Boolean else pd.arrays.IntegerArray
        return masked(values.copy(), series.is_null().to_numpy().copy())
    if dtype.is_float():
        return series.fill_null(float("nan")).to_numpy()
    if dtype == pl.Date:
        return pd.array(series.cast(pl.Datetime("us")).to_numpy())
    if isinstance(dtype, pl.Datetime):
        instants = pd.DatetimeIndex(series.dt.replace_time_zone(None).to_numpy())
        return instants.tz_localize("UTC").tz_convert(dtype.time_zone) if dtype.time_zone == "UTC" else instants
    if dtype == pl.String:
        return pd.array(series.to_list(), dtype="str")
    values = np.empty(len(series), dtype=object)
    values[:] = series.to_list()
    return values
