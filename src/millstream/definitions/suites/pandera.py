"""Schemas of Pandera, from the object or the YAML that ``to_yaml`` writes. Pandera itself is not imported here."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from millstream.definitions import checks
from millstream.definitions.checks import Check, Plain
from millstream.definitions.severity import Severity
from millstream.definitions.suites.making import (
    Maker,
    Untranslatable,
    bounds,
    literal,
    number,
    pattern,
    quoted,
    yaml_of,
)
from millstream.errors import DefinitionError, near

Limits = Mapping[str, Any]
_WORDS = ("strict", "ordered", "index")


@dataclass(frozen=True)
class Rule:
    """One check of a column: its name, its limits, whether NULL passes, whether it only warns."""

    name: str
    limits: Limits
    passes_null: bool = True
    only_warns: bool = False


@dataclass(frozen=True)
class Field:
    """What a schema says of one column."""

    name: str
    dtype: str
    nullable: bool
    unique: bool
    required: bool
    coerce: bool
    regex: bool
    rules: tuple[Rule, ...]
    polars: bool


@dataclass(frozen=True)
class Found:
    """A schema: its columns, sets of columns unique together, and what is beyond columns, by name."""

    fields: tuple[Field, ...]
    unique: tuple[tuple[str, ...], ...]
    more: tuple[str, ...]
    file: str


def read(schema: str, *, severity: Severity | None, without: frozenset[str]) -> list[Check]:
    """Read a schema; see ``checks.suite.pandera``."""
    named = ":" in schema and not schema.endswith((".yaml", ".yml"))
    found = _object(schema) if named else _yaml(schema)
    maker = Maker("pandera", schema, (found.file,), severity, without)
    for each in found.fields:
        _field(maker, schema, each)
    for names in found.unique if found.unique and not maker.left_out("unique") else ():
        maker.take("unique: " + ", ".join(names), checks.unique(*names, severity="warn"))
    for place, name in enumerate(found.more):
        if not maker.left_out(name):
            _leave(maker, schema, "", name, "it is of the whole frame", None if name in _WORDS else place)
    return maker.done()


def _field(maker: Maker, schema: str, field: Field) -> None:
    name, column = field.name, quoted(field.name)
    plain: list[tuple[str, Callable[[], Plain], bool, int | None]] = []
    if field.dtype:
        plain.append(("dtype", lambda: _dtype(field), True, None))
    if not field.nullable:
        plain.append(("not_nullable", lambda: checks.holds(f"{column} is not null"), True, None))
    if field.unique:
        plain.append(("field_uniqueness", lambda: checks.unique(name, severity="warn"), True, None))
    for place, rule in enumerate(field.rules):
        plain.append((rule.name, partial(_rule, column, field, rule), rule.passes_null, place))
    for test, translate, passes_null, number_ in plain:
        if maker.left_out(f"{name}.{test}", name):
            continue
        try:
            if field.regex:
                raise Untranslatable("it names its columns by a pattern")
            if not field.required:
                raise Untranslatable("its column may be missing")
            if not passes_null:
                raise Untranslatable("NULL does not pass")
            maker.take(f"{test} of {name}", translate())
        except (Untranslatable, KeyError) as why:
            notes = number_ is not None and field.rules[number_].only_warns
            _leave(maker, schema, name, test, str(why), number_, "note" if notes else "warn")


def _leave(
    maker: Maker, schema: str, column: str, test: str, why: str, number_: int | None, severity: Severity = "warn"
) -> None:
    name = f"{column}.{test}" if column else test
    spec = {"schema": schema, "column": column, "check": test, "number": number_}
    do = f"pip install 'millstream[suites]' where the checks run, or without=[{name!r}]"
    maker.leave(f"{test} of {column}" if column else test, spec=spec, why=why, do=do, severity=severity)


_TYPES = (("int", "BIGINT"), ("float", "DOUBLE"), ("str", "VARCHAR"), ("utf8", "VARCHAR"), ("bool", "BOOLEAN"),
          ("datetime", "TIMESTAMP WITH TIME ZONE"), ("date", "DATE"))  # fmt: skip


def _dtype(field: Field) -> Plain:
    if field.coerce:
        raise Untranslatable("it coerces")
    said = field.dtype.lower()
    ours = next((ours for theirs, ours in _TYPES if said.startswith(theirs)), None)
    if ours is None:
        raise Untranslatable(f"type {field.dtype} is none of the lake's")
    what = f"typeof({quoted(field.name)})"
    asked = f"select {what} as found from batch where {what} <> '{ours}' limit 1"
    return checks.query(asked, name=f"{field.name} is {field.dtype}")


def _rule(column: str, field: Field, rule: Rule) -> Plain:
    severity: Severity = "note" if rule.only_warns else "warn"
    known = KNOWN | _OF_POLARS if field.polars else KNOWN
    if rule.name not in known:
        raise Untranslatable("no check of ours says this")
    try:
        return known[rule.name](column, field.name, rule.limits, severity)
    except TypeError as wrong:
        raise Untranslatable(f"its limits are {dict(rule.limits)}") from wrong


def _compared(sign: str, word: str) -> Callable[[str, str, Limits, Severity], Plain]:
    def translate(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
        value = limits[word]
        said = literal(value) if sign in ("=", "<>") else literal(number(value))
        return checks.holds(f"{column} {sign} {said}", severity=severity)

    return translate


def _range(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
    low, high = number(limits["min_value"]), number(limits["max_value"])
    over, under = not limits.get("include_min", True), not limits.get("include_max", True)
    if over or under or low > high:
        return checks.holds(bounds(column, low, high, over=over, under=under), severity=severity)
    return checks.between(name, low, high, severity=severity)


def _isin(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
    values = sorted(limits["allowed_values"], key=str)
    if not values:
        raise Untranslatable("its set is empty")
    for each in values:
        literal(each)
    return checks.isin(name, values, severity=severity)


def _notin(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
    values = ", ".join(sorted(literal(each) for each in limits["forbidden_values"]))
    if not values:
        raise Untranslatable("its set is empty")
    return checks.holds(f"{column} not in ({values})", severity=severity)


def _pattern(*, start: bool, newline: bool = True) -> Callable[[str, str, Limits, Severity], Plain]:
    def translate(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
        said = getattr(limits["pattern"], "pattern", limits["pattern"])
        return checks.matches(name, pattern(said, anywhere=not start, start=start, newline=newline), severity=severity)

    return translate


def _affix(function: str) -> Callable[[str, str, Limits, Severity], Plain]:
    def translate(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
        return checks.holds(f"{function}({column}, {literal(limits['string'])})", severity=severity)

    return translate


def _length(column: str, name: str, limits: Limits, severity: Severity) -> Plain:
    if limits.get("exact_value") is not None:
        return checks.holds(f"length({column}) = {int(number(limits['exact_value']))}", severity=severity)
    return checks.holds(
        bounds(f"length({column})", limits.get("min_value"), limits.get("max_value")), severity=severity
    )


KNOWN: dict[str, Callable[[str, str, Limits, Severity], Plain]] = {
    "greater_than": _compared(">", "min_value"),
    "greater_than_or_equal_to": _compared(">=", "min_value"),
    "less_than": _compared("<", "max_value"),
    "less_than_or_equal_to": _compared("<=", "max_value"),
    "equal_to": _compared("=", "value"),
    "not_equal_to": _compared("<>", "value"),
    "in_range": _range,
    "isin": _isin,
    "notin": _notin,
    "str_matches": _pattern(start=True),
    "str_contains": _pattern(start=False),
    "str_startswith": _affix("starts_with"),
    "str_endswith": _affix("ends_with"),
    "str_length": _length,
}
_OF_POLARS = {
    "str_matches": _pattern(start=True, newline=False),
    "str_contains": _pattern(start=False, newline=False),
}
_ALONE = {"greater_than": "min_value", "greater_than_or_equal_to": "min_value", "less_than": "max_value",
          "less_than_or_equal_to": "max_value", "equal_to": "value", "not_equal_to": "value",
          "isin": "allowed_values", "notin": "forbidden_values", "str_matches": "pattern", "str_contains": "pattern",
          "str_startswith": "string", "str_endswith": "string"}  # fmt: skip


def _object(said: str) -> Found:
    """Read a schema of the project's code."""
    module, _, name = said.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as wrong:
        if str(wrong.name).split(".")[0] == "pandera":
            raise DefinitionError(
                f"suite {said!r} needs pandera, which is not installed here",
                expected="the extra 'suites'",
                do="pip install 'millstream[suites]', or write the schema with to_yaml and name that file",
            ) from None
        raise DefinitionError(f"suite {said!r}: there is no module {wrong.name!r}", expected="module:NAME") from None
    schema = getattr(found, name, None)
    if schema is None:
        raise DefinitionError(f"module {module} has no {name!r}", expected=near(name, vars(found)))
    if inspect.isclass(schema) and hasattr(schema, "to_schema"):
        schema = schema.to_schema()
    if not isinstance(getattr(schema, "columns", None), Mapping):
        raise DefinitionError(f"{said} is {type(schema).__name__}", expected="a DataFrameSchema or DataFrameModel")
    polars = type(schema).__module__.startswith("pandera.api.polars")
    fields = tuple(_column_of(key, each, bool(schema.coerce), polars) for key, each in schema.columns.items())
    more = [str(each.name or each.error or f"check {place}") for place, each in enumerate(schema.checks)]
    more += [word for word in _WORDS if getattr(schema, word, None) not in (None, False)]
    path = Path(str(found.__file__))
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else None
    return Found(fields, _sets(schema.unique), tuple(more), str(here) if here else f"{module}.py")


def _sets(unique: Any) -> tuple[tuple[str, ...], ...]:
    """Read ``unique``: a name, names that are unique together, or several lists of these."""
    if not unique:
        return ()
    if isinstance(unique, str):
        return ((unique,),)
    if all(isinstance(each, str) for each in unique):
        return (tuple(unique),)
    return tuple(tuple(each) for each in unique)


def _column_of(key: str, column: Any, coerce: bool, polars: bool) -> Field:
    rules = tuple(
        Rule(str(each.name), dict(each.statistics or {}), bool(each.ignore_na), bool(each.raise_warning))
        for each in column.checks
    )
    dtype = "" if column.dtype is None else str(column.dtype)
    return Field(
        str(key),
        dtype,
        column.nullable,
        column.unique,
        column.required,
        coerce or column.coerce,
        column.regex,
        rules,
        polars,
    )


def _yaml(file: str) -> Found:
    found = yaml_of(file)
    columns = found.get("columns")
    if not isinstance(columns, dict):
        raise DefinitionError(f"suite {file!r} has no 'columns'", expected="what pandera's to_yaml writes")
    coerce, polars = bool(found.get("coerce")), found.get("api") == "polars"
    fields = tuple(_said(str(name), each or {}, coerce, polars) for name, each in columns.items())
    more = [name for name, _ in _rules(found.get("checks"))]
    more += [word for word in _WORDS if found.get(word) not in (None, False, "false")]
    return Found(fields, _sets(found.get("unique")), tuple(more), file)


def _said(name: str, said: Mapping[str, Any], coerce: bool, polars: bool) -> Field:
    plain = {"dtype", "nullable", "unique", "required", "coerce", "regex", "checks", "title", "description", "metadata",
             "report_duplicates", "default", "name", "drop_invalid_rows"}  # fmt: skip
    rules = [*_rules(said.get("checks")), *_rules({key: each for key, each in said.items() if key not in plain})]
    return Field(
        name,
        str(said.get("dtype") or ""),
        bool(said.get("nullable", False)),
        bool(said.get("unique", False)),
        bool(said.get("required", True)),
        coerce or bool(said.get("coerce", False)),
        bool(said.get("regex", False)),
        tuple(_written(rule, limits) for rule, limits in rules),
        polars,
    )


def _rules(said: Any) -> Iterator[tuple[str, Any]]:
    """List the checks of a mapping of names, or of a list whose entries say their name among their options."""
    if isinstance(said, Mapping):
        yield from ((str(name), limits) for name, limits in said.items())
    for each in said if isinstance(said, list) else ():
        name = (each.get("options") or {}).get("check_name") if isinstance(each, Mapping) else None
        yield from [(str(name), each)] if name else _rules(each)


def _written(name: str, limits: Any) -> Rule:
    if not isinstance(limits, Mapping):
        return Rule(name, {_ALONE.get(name, "value"): limits})
    options = {**limits, **(limits.get("options") or {})}
    inner = {key: each for key, each in limits.items() if key not in ("options", "value", *_OPTIONS)}
    alone = _ALONE.get(name, "value")
    inner |= {alone: limits["value"]} if "value" in limits and alone not in inner else {}
    return Rule(name, inner, bool(options.get("ignore_na", True)), bool(options.get("raise_warning", False)))


_OPTIONS = ("check_name", "ignore_na", "raise_warning", "n_failure_cases", "description", "title", "error")
