"""Tests of dbt: those of a ``schema.yml``, with ``dbt_utils`` and ``dbt_expectations``, and singular SQL ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from millstream.definitions import checks
from millstream.definitions.checks import Check, Plain
from millstream.definitions.severity import Severity
from millstream.definitions.suites import great_expectations
from millstream.definitions.suites.making import (
    Maker,
    Untranslatable,
    bounds,
    literal,
    number,
    pattern,
    quoted,
    text_of,
    yaml_of,
)
from millstream.errors import DefinitionError, near

_SEVERITIES: dict[str, Severity] = {"error": "stop", "warn": "warn"}
_CONFIG = (
    "severity",
    "where",
    "warn_if",
    "error_if",
    "fail_calc",
    "limit",
    "enabled",
    "tags",
    "store_failures",
    "meta",
)
_HARMLESS = {"tags", "meta", "store_failures", "limit", "description", "quote_columns"}
_WAY_OUT = "write it as a singular test, or as checks.query('select ... from batch where ...')"


@dataclass
class Jinja:
    """Renders what dbt's files say of tables: ``ref``, ``source``, ``this``, ``config`` and ``var`` with a default."""

    model: str
    tables: Mapping[str, str]
    named: set[str] = field(default_factory=set)
    config: dict[str, Any] = field(default_factory=dict)

    def render(self, text: str) -> str:
        """Fill in a template.

        Raises
        ------
        Untranslatable
            For macros, and whatever else only dbt knows.
        """
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        words = {"ref": self._ref, "source": self._ref, "this": self._ref(self.model), "config": self._config}
        try:
            template = SandboxedEnvironment(undefined=StrictUndefined).from_string(text)
            return template.render(**words, var=self._var, model=self._ref(self.model))
        except (TemplateError, TypeError, ValueError) as wrong:
            raise Untranslatable(f"its Jinja needs dbt: {' '.join(str(wrong).split())}") from None

    def table(self, said: str) -> str:
        """Return the lake's name of what a ``ref('...')`` or ``source('...', '...')`` says, or a plain name."""
        if re.match(r"\s*(ref|source)\s*\(", said):
            return self.render("{{ " + said + " }}").strip('"')
        return self.render(said).strip('"') if "{{" in said else self._name(said)

    def _name(self, *parts: str) -> str:
        whole = ".".join(parts)
        return self.tables.get(whole, self.tables.get(parts[-1], parts[-1]))

    def _ref(self, *parts: str, **_: object) -> str:
        name = self._name(*parts)
        self.named.add(name)
        return quoted(name)

    def _config(self, **said: Any) -> str:
        self.config.update(said)
        return ""

    def _var(self, name: str, *default: Any) -> Any:
        if not default:
            raise ValueError(f"var({name!r}) has no default")
        return default[0]


@dataclass(frozen=True)
class Test:
    """One generic test: its name, the column it is about, its arguments, its config, and the name it is given."""

    name: str
    column: str
    said: Mapping[str, Any]
    config: Mapping[str, Any]
    label: str = ""

    @property
    def title(self) -> str:
        """How reports name it."""
        if self.label:
            return self.label
        return f"{self.name} of {self.column}" if self.column else self.name


def read(
    file: str, *, model: str, tables: dict[str, str], tests: str, severity: Severity | None, without: frozenset[str]
) -> list[Check]:
    """Read the tests of a model; see ``checks.suite.dbt``."""
    found = _model(file, model)
    maker = Maker("dbt", file, (file, tests) if tests else (file,), severity, without)
    for test in _tests(found, file):
        if not maker.left_out(test.name.rpartition(".")[2], test.name, *([test.label] if test.label else [])):
            _generic(maker, test, Jinja(model, tables))
    if tests:
        paths = [each for each in sorted(Path().glob(tests)) if each.is_file()]
        if not paths:
            raise DefinitionError(
                f"no file lies under tests={tests!r}", expected="SQL files, such as 'dbt/tests/*.sql'"
            )
        for path in paths:
            _singular(maker, path, Jinja(model, tables))
    return maker.done()


def _model(file: str, model: str) -> Mapping[str, Any]:
    found = yaml_of(file)
    known: dict[str, Mapping[str, Any]] = {}
    for section in ("models", "seeds", "snapshots"):
        known |= {str(each.get("name")): each for each in found.get(section) or () if isinstance(each, dict)}
    for source in found.get("sources") or ():
        known |= {f"{source.get('name')}.{each.get('name')}": each for each in source.get("tables") or ()}
    if model not in known:
        raise DefinitionError(f"{file} has no model {model!r}", expected=near(model, known))
    return known[model]


def _tests(model: Mapping[str, Any], file: str) -> Iterator[Test]:
    for each in (*(model.get("tests") or ()), *(model.get("data_tests") or ())):
        yield _test(each, "", file)
    for column in model.get("columns") or ():
        if not isinstance(column, dict) or "name" not in column:
            raise DefinitionError(f"{file} has a column that is {column!r}"[:300], expected="a mapping with a name")
        for each in (*(column.get("tests") or ()), *(column.get("data_tests") or ())):
            yield _test(each, str(column["name"]), file)


def _test(said: Any, column: str, file: str) -> Test:
    if isinstance(said, str):
        return Test(said, column, {}, {})
    if isinstance(said, dict) and "test_name" in said:
        said = {said["test_name"]: {key: each for key, each in said.items() if key != "test_name"}}
    if not isinstance(said, dict) or not said:
        raise DefinitionError(f"{file} has a test that is {said!r}"[:300], expected="a name, or a name with arguments")
    name, inner = next(iter(said.items()))
    beside = {key: each for key, each in said.items() if key != name}  # config may stand beside the name
    inner = {**beside, **(inner or {})}
    config = {key: inner.pop(key) for key in _CONFIG if key in inner} | dict(inner.pop("config", None) or {})
    arguments = {**inner, **(inner.pop("arguments", None) or {})}
    arguments.pop("arguments", None)
    column, label = str(arguments.pop("column_name", column)), str(arguments.pop("name", ""))
    return Test(
        str(name), column, {key: each for key, each in arguments.items() if key not in _HARMLESS}, config, label
    )


def _generic(maker: Maker, test: Test, jinja: Jinja) -> None:
    if test.config.get("enabled") is False:
        return
    severity = _SEVERITIES.get(str(test.config.get("severity", "error")).lower(), "stop")
    try:
        for word in ("warn_if", "error_if", "fail_calc"):
            if test.config.get(word) not in (None, "!= 0", ">0", "> 0", "count(*)"):
                raise Untranslatable(f"it has {word}: {test.config[word]}")
        package, _, short = test.name.rpartition(".")
        where = jinja.render(str(test.config["where"])) if test.config.get("where") else ""
        if package == "dbt_expectations":
            check, compared = _expectation(short, test, severity, jinja)
        elif package in ("", "dbt", "dbt_utils") and short in KNOWN:
            translate, names = KNOWN[short]
            _only(test.said, names)
            check, compared = translate(test, severity, jinja), ""
            if short == "unique":
                compared = f"{quoted(test.column)} is not null"
        else:
            _untold(test)
        if where:
            check, compared = _narrowed(check, compared, where), ""
        maker.take(test.title, check, where=compared)
    except (Untranslatable, KeyError) as why:
        do = f"{_WAY_OUT}, or without=[{test.label or test.name!r}]"
        maker.leave(test.title, spec=None, why=str(why), do=do, severity=severity)


def _untold(test: Test) -> NoReturn:
    raise Untranslatable(f"{test.name} is a macro of its own, which only dbt runs")


def _narrowed(check: Plain, compared: str, where: str) -> Plain:
    """Ask a check of the rows of a condition in SQL: as a query, which DuckDB answers."""
    inside = f"select * from batch where ({where})"
    match check:
        case checks.Holds(expression=text):
            asked = f"{inside} and not ({text})"
        case checks.Between(column=column):
            asked = f"{inside} and not ({bounds(quoted(column), check.low, check.high)})"
        case checks.Isin(column=column, values=values):
            asked = f"{inside} and {quoted(column)} not in ({', '.join(literal(each) for each in values)})"
        case checks.References(column=column, to=to):
            table, _, theirs = to.partition(".")
            known = f"select {quoted(theirs)} from {quoted(table)} where {quoted(theirs)} is not null"
            asked = f"{inside} and {quoted(column)} is not null and {quoted(column)} not in ({known})"
        case checks.Unique(columns=columns):
            names = ", ".join(quoted(each) for each in columns)
            only = f"({where}) and {compared}" if compared else f"({where})"
            asked = f"select * from batch where {only} qualify count(*) over (partition by {names}) > 1"
        case checks.Query(sql=sql, name=name):  # those made here ask of batch, once
            asked = sql.replace("from batch", f"from ({inside}) as batch", 1)
            return checks.query(asked, name=f"{name}, where {where}", severity=check.severity)
        case _:
            raise Untranslatable("where is not said of this test here")
    return checks.query(asked, name=f"{asked.partition(' where ')[2]}", severity=check.severity)


def _not_null(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    return checks.holds(f"{quoted(test.column)} is not null", severity=severity)


def _unique(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    return checks.unique(test.column, severity=severity)


def _values(test: Test) -> list[Any]:
    values = list(test.said["values"])
    if not test.said.get("quote", True) and any(isinstance(each, str) for each in values):
        raise Untranslatable("its values are SQL")
    return [each for each in values if literal(each)]


def _accepted(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    return checks.isin(test.column, _values(test), severity=severity)


def _refused(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    values = ", ".join(literal(each) for each in _values(test))
    return checks.holds(f"{quoted(test.column)} not in ({values})", severity=severity)


def _relationships(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    return checks.references(test.column, f"{jinja.table(test.said['to'])}.{test.said['field']}", severity=severity)


def _together(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    return checks.unique(*test.said["combination_of_columns"], severity=severity)


def _true(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    said = jinja.render(str(test.said["expression"]))
    said = f"{quoted(test.column)} {said}" if test.column else said
    return checks.query(f"select * from batch where not ({said})", name=said, severity=severity)


def _in_range(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    low, high, strict = test.said.get("min_value"), test.said.get("max_value"), not test.said.get("inclusive", True)
    return checks.holds(bounds(quoted(test.column), low, high, over=strict, under=strict), severity=severity)


def _not_empty(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    trim = test.said.get("trim_whitespace", True)
    what = f"trim({quoted(test.column)})" if trim else quoted(test.column)
    return checks.query(f"select * from batch where {what} = ''", name=f"{what} <> ''", severity=severity)


def _at_least_one(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    what = quoted(test.column)
    return checks.query(
        f"select count({what}) as found from batch having count({what}) = 0",
        name=f"{what} has a value",
        severity=severity,
    )


def _not_constant(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    what = f"count(distinct {quoted(test.column)})"
    return checks.query(f"select {what} as found from batch having {what} = 1", name=f"{what} > 1", severity=severity)


def _filled(test: Test, severity: Severity, jinja: Jinja) -> Plain:
    if test.said.get("at_most", 1.0) != 1.0:
        raise Untranslatable("it has at_most")
    return checks.nulls(test.column, at_most=round(1 - number(test.said["at_least"]), 12), severity=severity)


KNOWN: dict[str, tuple[Callable[[Test, Severity, Jinja], Plain], tuple[str, ...]]] = {
    "not_null": (_not_null, ()),
    "unique": (_unique, ()),
    "accepted_values": (_accepted, ("values", "quote")),
    "relationships": (_relationships, ("to", "field")),
    "unique_combination_of_columns": (_together, ("combination_of_columns",)),
    "expression_is_true": (_true, ("expression",)),
    "accepted_range": (_in_range, ("min_value", "max_value", "inclusive")),
    "not_accepted_values": (_refused, ("values", "quote")),
    "not_empty_string": (_not_empty, ("trim_whitespace",)),
    "at_least_one": (_at_least_one, ()),
    "not_constant": (_not_constant, ()),
    "not_null_proportion": (_filled, ("at_least", "at_most")),
}
"""The tests of dbt and dbt_utils, and the arguments that are known of each."""
_OF_VERSIONS = ("expect_column_values_to_be_in_set", "expect_compound_columns_to_be_unique")
_PAIRS = ("expect_column_pair_values_a_to_be_greater_than_b", "expect_column_pair_values_to_be_equal")


def _expectation(short: str, test: Test, severity: Severity, jinja: Jinja) -> tuple[Plain, str]:
    """Translate a test of dbt_expectations as the expectation of that name: in SQL, where what is NULL passes."""
    short = short.lower()
    if short in _OF_VERSIONS:
        raise Untranslatable("what it says of NULL depends on the version of dbt_expectations")
    if short not in great_expectations.KNOWN:
        raise Untranslatable("no check of ours says this")
    translate, names = great_expectations.KNOWN[short]
    if short in great_expectations.AGGREGATES:
        translate = great_expectations.aggregate(great_expectations.AGGREGATES[short], null_passes=True)
    said = {**test.said, **({"column": test.column} if test.column else {})}
    said = {{"column_a": "column_A", "column_b": "column_B"}.get(key.lower(), key): each for key, each in said.items()}
    narrow = said.pop("row_condition", None)
    if said.pop("strictly", False):
        said |= {"strict_min": True, "strict_max": True}
    _only(said, names)
    if short in _PAIRS:
        said["ignore_row_if"] = "either_value_is_missing"
    if short == "expect_column_values_to_match_regex":
        found = pattern(said["regex"], anywhere=True, newline=False)
        made: tuple[Plain, str] = checks.matches(test.column, found, severity=severity), ""
    else:
        made = translate(said, severity, "")[:2]
    return (_narrowed(*made, jinja.render(str(narrow))), "") if narrow else made


def _only(said: Mapping[str, Any], names: tuple[str, ...]) -> None:
    odd = sorted(set(said) - set(names))
    if odd:
        raise Untranslatable(f"it has {', '.join(odd)}")


def _singular(maker: Maker, path: Path, jinja: Jinja) -> None:
    test = path.stem
    text = text_of(str(path))
    try:
        sql = jinja.render(text).strip().rstrip(";")
    except Untranslatable as why:
        about = re.search(rf"\b{re.escape(jinja.model.rpartition('.')[2])}\b", text)
        if about and not maker.left_out(test):
            severity: Severity = "stop"
            do = f"write its macros out as SQL, or without=[{test!r}]"
            maker.leave(test, spec=None, why=str(why), do=do, severity=severity)
        return
    ours = jinja.table(jinja.model)
    if not re.search(rf"\b{re.escape(ours)}\b", sql) or maker.left_out(test):
        return
    severity = _SEVERITIES.get(str(jinja.config.get("severity", "error")).lower(), "stop")
    if jinja.config.get("enabled") is not False:
        maker.take(f"{path.name}", checks.query(sql, name=test, severity=severity))
