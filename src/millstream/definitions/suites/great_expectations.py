"""Suites of Great Expectations, read from the JSON that 1.x and 0.18 write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from millstream.definitions import checks
from millstream.definitions.checks import Check, Plain
from millstream.definitions.severity import Severity
from millstream.definitions.suites.making import (
    Maker,
    Untranslatable,
    bounds,
    holds,
    literal,
    number,
    pattern,
    quoted,
    text_of,
)
from millstream.errors import DefinitionError

SEVERITIES: dict[str, Severity] = {"critical": "stop", "warning": "warn", "info": "note"}
_PASSED_OVER = {"result_format", "catch_exceptions", "batch_id", "condition_parser", "meta", "description"}
_WHOLE = {"row_condition", "mostly"}
Kwargs = Mapping[str, Any]


def read(file: str, *, severity: Severity | None, without: frozenset[str]) -> list[Check]:
    """Read a suite; see ``checks.suite.great_expectations``."""
    try:
        suite = json.loads(text_of(file))
    except ValueError as wrong:
        raise DefinitionError(f"suite {file!r} is no JSON: {wrong}", expected="what Great Expectations wrote") from None
    expectations = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(expectations, list):
        raise DefinitionError(
            f"suite {file!r} has no 'expectations'",
            expected='{"name": "...", "expectations": [{"type": "expect_..."}]}',
        )
    maker = Maker("great_expectations", file, (file,), severity, without)
    for each in expectations:
        kind = each.get("type") or each.get("expectation_type") if isinstance(each, dict) else None
        if not isinstance(kind, str):
            raise DefinitionError(f"suite {file!r} has an expectation without a type: {each!r}"[:300])
        if not maker.left_out(kind):
            _one(maker, kind, each.get("kwargs") or {}, SEVERITIES.get(str(each.get("severity")), "warn"))
    return maker.done()


def _one(maker: Maker, kind: str, kwargs: Kwargs, severity: Severity) -> None:
    about = kwargs.get("column") or ", ".join(kwargs.get("column_list") or ())
    test = f"{kind} of {about}" if about else kind
    said = {name: value for name, value in kwargs.items() if value is not None and name not in _PASSED_OVER}
    try:
        if kind not in KNOWN:
            raise Untranslatable("no check of ours says this")
        translate, names = KNOWN[kind]
        odd = sorted(set(said) - set(names) - _WHOLE)
        if odd:
            raise Untranslatable(f"it has {', '.join(odd)}")
        at_most = round(1 - number(said.get("mostly", 1)), 12)
        where = condition(said["row_condition"]) if "row_condition" in said else ""
        check, own_where, of = translate(said, severity, where)
        if at_most and of is None:
            raise Untranslatable("mostly has another meaning here")
        maker.take(test, check, where=own_where, at_most=at_most, of=of or "")
    except (Untranslatable, KeyError) as why:
        spec = {"type": kind, "kwargs": {**kwargs}}
        do = f"pip install 'millstream[suites]' where the checks run, or without=[{kind!r}]"
        maker.leave(test, spec=spec, why=str(why), do=do, severity=severity)


_CONDITION = re.compile(
    r"""\s*(?:col\((?P<q>["'])(?P<in>[^"']+)(?P=q)\)|`(?P<tick>[^`]+)`|(?P<bare>[A-Za-z_]\w*))\s*"""
    r"""(?P<op>==|!=|>=|<=|>|<)\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<r>["'])(?P<text>[^"'\\]*)(?P=r))\s*"""
)


def condition(said: Any) -> str:
    """Write a row condition of comparisons with ``and`` in the row language; a NULL is unequal, as pandas has it."""
    if isinstance(said, dict) and said.get("type") == "pass_through":
        said = said.get("pass_through_filter")
    if not isinstance(said, str):
        raise Untranslatable(f"its row_condition is {said!r}")
    parts = []
    for each in re.split(r"\s+and\s+|&", said):
        found = _CONDITION.fullmatch(each.strip().removeprefix("(").removesuffix(")") if "&" in said else each)
        if found is None:
            raise Untranslatable(f"its row_condition is {said!r}")
        name = quoted(found["in"] or found["tick"] or found["bare"])
        value = found["number"] or literal(found["text"])
        unequal = f"({name} <> {value} or {name} is null)"
        parts.append(unequal if found["op"] == "!=" else f"{name} {found['op'].replace('==', '=')} {value}")
    return f"({' and '.join(parts)})"


Translated = tuple[Plain, str, str | None]
"""The check, the rows it compares (for checks of uniqueness and shares), and the column ``mostly`` is a share of."""


def _rows(column: str, said: str, severity: Severity, where: str) -> Translated:
    return holds(said, severity, where=where), where, column


def _not_null(k: Kwargs, severity: Severity, where: str) -> Translated:
    return holds(f"{quoted(k['column'])} is not null", severity, where=where), where, ""


def _null(k: Kwargs, severity: Severity, where: str) -> Translated:
    return holds(f"{quoted(k['column'])} is null", severity, where=where), where, ""


def _unique(k: Kwargs, severity: Severity, where: str) -> Translated:
    filled = f"{quoted(k['column'])} is not null"
    return checks.unique(k["column"], severity=severity), f"{where} and {filled}" if where else filled, k["column"]


def _together(k: Kwargs, severity: Severity, where: str) -> Translated:
    joined = {"all_values_are_missing": " or ", "any_value_is_missing": " and ", "never": ""}
    how = k.get("ignore_row_if", "all_values_are_missing")
    if how not in joined:
        raise Untranslatable(f"its ignore_row_if is {how!r}")
    filled = joined[how].join(f"{quoted(each)} is not null" for each in k["column_list"]) if joined[how] else ""
    both = " and ".join(each for each in (where, f"({filled})" if filled else "") if each)
    return checks.unique(*k["column_list"], severity=severity), both, ""


def _between(k: Kwargs, severity: Severity, where: str) -> Translated:
    low, high, over, under = (k.get(each) for each in ("min_value", "max_value", "strict_min", "strict_max"))
    if not (where or over or under or low is None or high is None) and number(low) <= number(high):
        return checks.between(k["column"], number(low), number(high), severity=severity), "", k["column"]
    said = bounds(quoted(k["column"]), low, high, over=bool(over), under=bool(under))
    return _rows(k["column"], said, severity, where)


def _values(k: Kwargs) -> str:
    if not k["value_set"]:
        raise Untranslatable("its value_set is empty")
    return ", ".join(literal(each) for each in k["value_set"])


def _in_set(k: Kwargs, severity: Severity, where: str) -> Translated:
    if where:
        return _rows(k["column"], f"{quoted(k['column'])} in ({_values(k)})", severity, where)
    _values(k)
    return checks.isin(k["column"], list(k["value_set"]), severity=severity), "", k["column"]


def _not_in_set(k: Kwargs, severity: Severity, where: str) -> Translated:
    return _rows(k["column"], f"{quoted(k['column'])} not in ({_values(k)})", severity, where)


def _lengths(k: Kwargs, severity: Severity, where: str) -> Translated:
    what = f"length({quoted(k['column'])})"
    if "value" in k:
        return _rows(k["column"], f"{what} = {int(number(k['value']))}", severity, where)
    strict = {"over": bool(k.get("strict_min")), "under": bool(k.get("strict_max"))}
    return _rows(k["column"], bounds(what, k.get("min_value"), k.get("max_value"), **strict), severity, where)


def _regex(k: Kwargs, severity: Severity, where: str) -> Translated:
    if where:
        raise Untranslatable("a pattern with a row_condition")
    # GE searches: "(?:)" anywhere, unless it starts with ^
    return checks.matches(k["column"], pattern(k["regex"], anywhere=True), severity=severity), "", k["column"]


def _greater(k: Kwargs, severity: Severity, where: str) -> Translated:
    return _pair(k, ">=" if k.get("or_equal") else ">", severity, where)


def _equal(k: Kwargs, severity: Severity, where: str) -> Translated:
    return _pair(k, "=", severity, where)


def _pair(k: Kwargs, sign: str, severity: Severity, where: str) -> Translated:
    left, right = quoted(k["column_A"]), quoted(k["column_B"])
    passes = {
        "both_values_are_missing": f"({left} is null and {right} is null) or ",
        "either_value_is_missing": f"{left} is null or {right} is null or ",
        "neither": "",
        "never": "",
    }[k.get("ignore_row_if", "both_values_are_missing")]
    return holds(f"{passes}coalesce({left} {sign} {right}, false)", severity, where=where), "", None


def _exists(k: Kwargs, severity: Severity, where: str) -> Translated:
    return checks.nulls(k["column"], at_most=1.0, severity=severity), "", None


def aggregate(sql: str, *, null_passes: bool = False) -> Callable[[Kwargs, Severity, str], Translated]:
    """Make the translation of a test that holds one number of the batch against limits; of no rows it may be NULL."""

    def translate(k: Kwargs, severity: Severity, where: str) -> Translated:
        if where:
            raise Untranslatable("a number of the batch with a row_condition")
        what = sql.format(quoted(k["column"]) if "column" in k else "")
        if "value" in k:
            said = f"{what} = {literal(number(k['value']))}"
        else:
            strict = {"over": bool(k.get("strict_min")), "under": bool(k.get("strict_max"))}
            said = bounds(what, k.get("min_value"), k.get("max_value"), **strict)
        fails = "is false" if null_passes else "is not true"
        asked = f"select {what} as found from batch having ({said}) {fails}"
        return checks.query(asked, name=said, severity=severity), "", None

    return translate


_RANGE = ("column", "min_value", "max_value", "strict_min", "strict_max")
_PAIR = ("column_A", "column_B", "ignore_row_if")
KNOWN: dict[str, tuple[Callable[[Kwargs, Severity, str], Translated], tuple[str, ...]]] = {
    "expect_column_values_to_not_be_null": (_not_null, ("column",)),
    "expect_column_values_to_be_null": (_null, ("column",)),
    "expect_column_values_to_be_unique": (_unique, ("column",)),
    "expect_compound_columns_to_be_unique": (_together, ("column_list", "ignore_row_if")),
    "expect_column_values_to_be_between": (_between, _RANGE),
    "expect_column_values_to_be_in_set": (_in_set, ("column", "value_set")),
    "expect_column_values_to_not_be_in_set": (_not_in_set, ("column", "value_set")),
    "expect_column_value_lengths_to_be_between": (_lengths, _RANGE),
    "expect_column_value_lengths_to_equal": (_lengths, ("column", "value")),
    "expect_column_values_to_match_regex": (_regex, ("column", "regex")),
    "expect_column_pair_values_a_to_be_greater_than_b": (_greater, (*_PAIR, "or_equal")),
    "expect_column_pair_values_to_be_equal": (_equal, _PAIR),
    "expect_column_to_exist": (_exists, ("column",)),
    "expect_table_row_count_to_be_between": (aggregate("count(*)"), _RANGE[1:]),
    "expect_table_row_count_to_equal": (aggregate("count(*)"), ("value",)),
    "expect_column_sum_to_be_between": (aggregate("coalesce(sum({}), 0)"), _RANGE),
}
AGGREGATES = {
    "expect_column_min_to_be_between": "min({})",
    "expect_column_max_to_be_between": "max({})",
    "expect_column_mean_to_be_between": "avg({})",
    "expect_column_median_to_be_between": "median({})",
    "expect_column_sum_to_be_between": "sum({})",
    "expect_column_stdev_to_be_between": "stddev_samp({})",
    "expect_column_unique_value_count_to_be_between": "count(distinct {})",
}
KNOWN = {name: (aggregate(sql), _RANGE) for name, sql in AGGREGATES.items()} | KNOWN
