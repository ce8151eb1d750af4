"""Functions that put values in bounds and buckets, the same on every machine."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.types import DType

_NUMBERS: tuple[DType, ...] = ("bigint", "double")
_HASHED = "CAST('0x' || left(sha256({text}), 15) AS BIGINT) % CAST({{1}} AS BIGINT)"

FUNCTIONS = (
    *(
        Function(
            "clip", (each, each, each), each, "min(max({0}, {1}), {2})",
            lambda k, a, low, high: k.clip(a, low, high),
            "(CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL"
            " THEN least(greatest({0}, {1}), {2}) END)",
            says="A number kept between two bounds; NULL stays NULL.", example="clip(250, 0, 100)",
        )
        for each in _NUMBERS
    ),
    *(
        Function(
            "bucket", (each, each), "bigint", "{1}({0})", lambda k, a, *edges: k.bucket(a, edges),
            "(CASE WHEN {0} IS NOT NULL THEN len(list_filter([{rest}], lambda e: e <= {0})) END)",
            constants=(1,), prepare="edges", variadic=True,
            says="How many of the edges (literals, ascending) a number has reached: 0 below the first.",
            example="bucket(37, 18, 30, 65)",
        )
        for each in _NUMBERS
    ),
    Function(
        "hash_bucket", ("varchar", "bigint"), "bigint", "hash_bucket({0}, {1})",
        lambda k, a, count: k.hash_bucket(a, count), f"({_HASHED.format(text='{0}')})", constants=(1,),
        says="One of n buckets (a literal), 0 to n - 1, by the first 60 bits of the SHA-256 of the text in UTF-8,"
        " modulo n; of a bigint, of its digits.",
        example="hash_bucket('N14228', 32)",
    ),
    Function(
        "hash_bucket", ("bigint", "bigint"), "bigint", "hash_bucket(str({0}), {1})",
        lambda k, a, count: k.hash_bucket(a.cast(k.TYPES["varchar"]), count),
        f"({_HASHED.format(text='CAST({0} AS VARCHAR)')})", constants=(1,),
    ),
)  # fmt: skip
