"""What a person sees of rows: sensitive columns masked, rows filtered; applied to rows before anybody's question is.

A mask keeps a column's type, so that a query written for the whole runs on what is left: where a mask does not fit a
type (the hash of an instant, the month of a text) the values are NULL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from millstream.errors import BadData, DefinitionError, IntegrityError, Refused
from millstream.expressions import Expression
from millstream.expressions.polars import compute
from millstream.settings import MASKS

REDACTED = "[redacted]"
_KEY = "mask.key"
_EVERY = {"day": "1d", "month": "1mo", "year": "1y"}
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class Sight:
    """What one person sees of one table.

    Parameters
    ----------
    role
        Role that says so; empty when there are no roles, and everything is seen.
    masks
        Column to what becomes of it; columns seen as they are are left out.
    where
        Only rows for which this is true; None for all. ``False`` is none.
    """

    role: str = ""
    masks: dict[str, str] = field(default_factory=dict)
    where: Expression | bool | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return not self.masks and self.where is None


def filtered(frame: pl.DataFrame, sight: Sight, *, table: str) -> pl.DataFrame:
    """Keep the rows somebody may see.

    Raises
    ------
    DefinitionError
        When the filter cannot be computed; the message has no value of the table in it.
    """
    if sight.where is None:
        return frame
    if isinstance(sight.where, bool):
        return frame if sight.where else frame.clear()
    try:
        kept = compute(frame, {"kept": sight.where}, where="rows")["kept"]
    except (BadData, pl.exceptions.PolarsError):
        raise DefinitionError(
            f"the rows of {table} that role {sight.role} may see cannot be told: {sight.where.text!r} fails on a row",
            expected="an expression that holds for every row",
            do="use try_cast there",
        ) from None
    return frame.filter(kept.fill_null(value=False))


def masked(frame: pl.DataFrame, masks: Mapping[str, str], *, key: bytes, zone: str) -> pl.DataFrame:
    """Mask columns of a frame; those it does not have are passed over.

    Parameters
    ----------
    frame
        Rows.
    masks
        Column to mask, as ``millstream.toml`` writes it.
    key
        Secret of the hash.
    zone
        Whose days, months and years instants are cut to.
    """
    there = [(name, mask) for name, mask in masks.items() if name in frame.columns]
    return frame.with_columns(_masked(frame[name], mask, key=key, zone=zone) for name, mask in there)


def strictest(said: Iterable[str]) -> str:
    """Return the mask that hides most; ``show`` of none."""
    return max(said, key=lambda each: _rank(each.partition(":")[0]), default="show")


def mask_key(keys: Path, others: Path | None = None) -> bytes:
    """Return the secret of the hash, made at first use and readable by its owner only.

    Parameters
    ----------
    keys
        Folder of the project's keys.
    others
        In an overlay production's, whose secret is used where there is one, so that the same value looks the same.

    Raises
    ------
    Refused
        When others may read it.
    IntegrityError
        When it is no secret.
    """
    path = others / _KEY if others is not None and (others / _KEY).exists() else keys / _KEY
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others", expected="mode 0600", do=f"chmod 600 {path}")
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        raise IntegrityError(
            f"{path} is no secret", expected="64 hexadecimal digits", do="restore it; another one gives other hashes"
        ) from None


def _make(path: Path) -> None:
    """Make a secret; of two processes that do so at once, one's is kept."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".new-{secrets.token_hex(8)}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(scratch, path)
    scratch.unlink()


def _rank(kind: str) -> int:
    order = ("show", "day", "month", "year", "bucket", "hash", "redact", "null")
    assert set(order) == set(MASKS)
    return order.index(kind)


def _masked(series: pl.Series, mask: str, *, key: bytes, zone: str) -> pl.Series:
    kind, _, width = mask.partition(":")
    dtype, name = series.dtype, series.name
    if kind == "show":
        return series
    if kind == "redact" and dtype == pl.String:
        return pl.select(pl.when(series.is_not_null()).then(pl.lit(REDACTED)).alias(name)).to_series()
    if kind == "hash" and dtype in (pl.String, pl.Int64):
        return _hashed(series, key)
    if kind in _EVERY and isinstance(dtype, pl.Datetime):
        cut = series.dt.convert_time_zone(zone).dt.truncate(_EVERY[kind])
        return cut.dt.convert_time_zone("UTC").cast(dtype)
    if kind in _EVERY and dtype == pl.Date:
        return series.dt.truncate(_EVERY[kind])
    if kind == "bucket" and dtype == pl.Float64:
        return ((series / float(width)).floor() * float(width)).alias(name)
    if kind == "bucket" and dtype == pl.Int64 and float(width).is_integer():
        return ((series // int(float(width))) * int(float(width))).cast(pl.Int64).alias(name)
    return pl.Series(name, [None], dtype=dtype).new_from_index(0, len(series))


def _hashed(series: pl.Series, key: bytes) -> pl.Series:
    """Put a keyed hash in the place of each value: the same everywhere, so that joins hold; NULL stays NULL."""
    text = series.dtype == pl.String
    values = series.drop_nulls().unique()
    made: list[str | int] = []
    for each in values.to_list():
        digest = hashlib.blake2b(str(each).encode(), key=key, digest_size=8)
        made.append(f"h{digest.hexdigest()}" if text else int.from_bytes(digest.digest()) & _LARGEST)
    if not made:
        return series
    return series.replace_strict(values, pl.Series(made, dtype=series.dtype), return_dtype=series.dtype).alias(
        series.name
    )
