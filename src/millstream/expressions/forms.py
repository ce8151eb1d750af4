"""What the language has besides functions, and what it has not and why."""

from __future__ import annotations

FORMS: dict[str, tuple[str, str]] = {
    "case": (
        "The first branch whose condition is true; other branches are not evaluated.",
        "case when 1 > 2 then 'a' else 'b' end",
    ),
    "if": ("`if(c, a, b)`: `a` where `c` is true, else `b`.", "if(1 < 2, 10, 20)"),
    "coalesce": ("The first value that is not NULL; also `ifnull`.", "coalesce(null, 2, 3)"),
    "nullif": ("NULL where both are equal, else the first.", "nullif(2, 2)"),
    "between": ("`a >= low and a <= high`; also `not between`.", "2 between 1 and 3"),
    "is true": ("Whether it is true, and not NULL; also `is false`, `is not true`.", "(null = 1) is true"),
    "extract": ("A calendar part by name; also `date_part`.", "extract(month from date '2013-07-04')"),
    "interval": ("A fixed length of time; days have 24 hours.", "epoch(interval '1 day 2 hours')"),
    "timestamptz": ("An instant, with its offset.", "epoch(timestamptz '2013-07-04 12:30:00+02')"),
    "pi": ("`pi()`: half of a circle in radians.", "pi()"),
    "date": ("A day.", "date '2013-07-04' - date '2013-07-01'"),
}
"""Form to what it means and an example without columns."""

# fmt: off
_CLOCK = "an expression gives the same answer whenever it is asked; compare with a column, or with decided_at"
_DIFFERENCE = "subtract and take seconds: epoch(later - earlier) / 60 are minutes; two dates give days"
_JOIN = "an expression sees one row; tables are joined in Table(sql=..., of=[...])"
_MULTIPLY = "multiply an interval: x * interval '1 minute'"

HINTS: dict[str, str] = {
    "now": _CLOCK, "today": _CLOCK, "current_date": _CLOCK, "current_timestamp": _CLOCK, "localtimestamp": _CLOCK,
    "get_current_timestamp": _CLOCK, "current_time": _CLOCK, "currentdate": _CLOCK, "currenttimestamp": _CLOCK,
    "random": "an expression gives the same answer whenever it is asked", "rand": "expressions are deterministic",
    "uuid": "expressions are deterministic",
    "date_diff": _DIFFERENCE, "datediff": _DIFFERENCE, "date_sub": _DIFFERENCE, "datesub": _DIFFERENCE,
    "timestampdiff": _DIFFERENCE, "age": _DIFFERENCE,
    "to_seconds": _MULTIPLY, "to_minutes": _MULTIPLY, "to_hours": _MULTIPLY, "to_days": _MULTIPLY,
    "to_weeks": _MULTIPLY, "to_milliseconds": _MULTIPLY, "to_microseconds": _MULTIPLY,
    "to_months": "months have no fixed length; use days", "to_years": "years have no fixed length; use days",
    "log": "say which: ln (natural) or log10", "log2": "write ln(x) / ln(2)",
    "weekday": "dialects number days differently: isodow has Monday 1 to Sunday 7, dayofweek Sunday 0 to Saturday 6",
    "isnan": "NaN and infinities are NULL here: write x is null", "isinf": "NaN and infinities are NULL here",
    "isfinite": "NaN and infinities are NULL here: write x is not null",
    "date_trunc": "write cast(x at time zone 'Zone' as date), or calendar parts",
    "timestamptrunc": "write cast(x at time zone 'Zone' as date), or calendar parts",
    "datetrunc": "dates are whole days; use calendar parts",
    "trunc": "write cast(x as bigint), floor or ceil", "mod": "write a % b", "pow": "write power(a, b)",
    "ilike": "write lower(x) like 'pattern in lower case'", "glob": "write like",
    "count": "aggregates are windows of feature views: f.count(over=...)",
    "sum": "aggregates are windows of feature views: f.sum(..., over=...)",
    "avg": "aggregates are windows of feature views: f.mean(..., over=...)",
    "min": "aggregates are windows of feature views; of several columns of a row: least",
    "max": "aggregates are windows of feature views; of several columns of a row: greatest",
    "lag": "an expression sees one row; the past is a window of a feature view", "lead": "an expression sees one row",
    "window": "an expression sees one row; what came before is a window of a feature view",
    "subquery": _JOIN, "exists": _JOIN, "select": _JOIN, "escape": "a LIKE pattern has no escape; use contains",
    "regexp_like": "write like, contains or starts_with", "regexp_matches": "write like, contains or starts_with",
    "xor": "write a <> b", "bitwisexor": "write a <> b", "prefix": "write starts_with(text, start)",
    "width_bucket": "write bucket(x, 10, 20, 30) with its edges", "clamp": "write clip(x, low, high)",
    "hash": "engines hash differently; write hash_bucket(text, 32)", "md5": "write hash_bucket(text, 32)",
    "sha256": "write hash_bucket(text, 32)",
    "suffix": "write ends_with(text, end)", "strpos": "write contains(text, part)",
}
"""What people write that the language does not have, to what to do instead."""
