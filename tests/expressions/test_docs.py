"""The page of the row language: its examples run, its tables say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from millstream.expressions import parse
from millstream.expressions.closure import to_closure
from millstream.expressions.forms import FORMS
from millstream.expressions.function import Function
from millstream.expressions.table import BY_NAME
from millstream.lake.duck import run

PAGE = Path(__file__).parents[2] / "docs" / "expressions.md"
EXAMPLES = {name: functions[0].example for name, functions in BY_NAME.items()} | {
    name: example for name, (_, example) in FORMS.items()
}


def value(example: str) -> object:
    return to_closure({"x": parse(example, {}, where="docs")})({})["x"]


def shown(example: str) -> str:
    return f"`{example}` → `{json.dumps(value(example), ensure_ascii=False)}`".replace("|", "\\|")


def forms() -> str:
    lines = ["| form | what it means | example |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {says} | {shown(example)} |" for name, (says, example) in FORMS.items()]
    return "\n".join(lines)


def takes(rows: list[Function]) -> list[str]:
    """Write the signatures of a function; those that differ only in one type on one line."""
    lines: dict[str, list[str]] = {}
    for each in rows:
        more = ", ..." if each.variadic else ""
        checked = " (checked)" if each.raises else ""
        if len(set(each.arguments)) == 1 and len(rows) > 2:
            result = "T" if each.result == each.arguments[0] else each.result
            line = f"{', '.join('T' for _ in each.arguments)}{more} → {result}{checked}"
            lines.setdefault(line, []).append(each.arguments[0])
        else:
            lines[f"{', '.join(each.arguments)}{more} → {each.result}{checked}"] = []
    return [
        line.replace("T", kinds[0]) if len(kinds) == 1 else f"{line} for {', '.join(kinds)}" if kinds else line
        for line, kinds in lines.items()
    ]


def functions() -> str:
    lines = ["| function | takes → gives | NULL | what it does | example |", "| --- | --- | --- | --- | --- |"]
    for name, rows in BY_NAME.items():
        title = name.replace("|", "\\|")
        first = rows[0]
        types = "<br>".join(takes(rows))
        lines.append(f"| `{title}` | {types} | {first.nulls} | {first.says} | {shown(first.example)} |")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """Put the tables where the page wants them. To renew the page, write what this returns to it."""
    for name, made in (("forms", forms()), ("functions", functions())):
        before, _, after = page.partition(f"<!-- {name} -->\n")
        _, heading, rest = after.partition("\n## ")
        page = f"{before}<!-- {name} -->\n\n{made}\n{heading}{rest}"
    return page


def test_the_page_lists_exactly_what_there_is() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page)


def test_every_function_says_what_it_does_and_has_an_example() -> None:
    assert [name for name, rows in BY_NAME.items() if not (rows[0].says and rows[0].example)] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_duckdb_and_gives_the_same_there(name: str) -> None:
    asked = run(f"SELECT CAST(({EXAMPLES[name]}) AS VARCHAR) AS x", {})["x"][0]  # as millstream sql has it
    made = value(EXAMPLES[name])
    if isinstance(made, float):
        assert float(asked) == made  # a literal such as 2.5 is a DECIMAL in DuckDB, which prints fewer digits
    else:
        assert asked == (str(made).lower() if isinstance(made, bool) else None if made is None else str(made))


def test_the_code_on_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
