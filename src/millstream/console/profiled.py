"""A page about one table: one file that needs no other, for a mail or a wiki."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from millstream.console import timelines
from millstream.errors import NotFound

MOST_COLUMNS = 500
_STYLE = """
:root { color-scheme: light dark; --ink: #16211d; --soft: #55645e; --paper: #f5f3ee; --card: #fff; --line: #e1ddd2;
  --water: #0f6e84; --warn: #8a5a00; --tint: #e9f2f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ece9; --soft: #a7b4ae; --paper: #121816; --card: #1a2220;
  --line: #313d39; --water: #63c3d8; --warn: #eabd5f; --tint: #1c2b2e; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", sans-serif; color: var(--ink);
  background: var(--paper); font-variant-numeric: tabular-nums; }
header, main { max-width: 1220px; margin-inline: auto; padding: 20px; }
h1 { font-size: 1.7rem; margin: 0; letter-spacing: -.015em; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .small { font-size: .85rem; }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 14px 0 0; } dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; font-size: 1.15rem; font-weight: 650; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 14px 18px; margin-bottom: 14px; }
.card ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.warned { border-color: var(--warn); } .warn { color: var(--warn); font-weight: 600; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr)); gap: 14px; }
.columns .card { margin: 0; display: flex; flex-direction: column; gap: 6px; min-width: 0; }
.head { display: flex; justify-content: space-between; gap: 10px; align-items: baseline; }
.kind { color: var(--soft); font-size: .8rem; border: 1px solid var(--line); border-radius: 99px; padding: 0 9px; }
svg.bars { width: 100%; height: 76px; display: block; margin-top: 4px; } svg.bars rect { fill: var(--water); }
.ends { display: flex; justify-content: space-between; color: var(--soft); font-size: .8rem; }
table { width: 100%; border-collapse: collapse; font-size: .85rem; }
td { padding: 1px 8px 1px 0; overflow-wrap: anywhere; }
td:last-child { text-align: right; padding-right: 0; white-space: nowrap; } td.bar { width: 40%; }
td.bar i { display: block; height: 9px; border-radius: 3px; background: var(--water); min-width: 1px; }
.filled { height: 6px; border-radius: 3px; background: var(--line); overflow: hidden; }
.filled i { display: block; height: 100%; background: var(--water); }
"""


def page(record: Mapping[str, Any]) -> str:
    """Write the profile of a table as one HTML page.

    Parameters
    ----------
    record
        What ``millstream profile TABLE --json`` says.
    """
    found = record["profile"]
    suspects = {each["column"]: each["says"] for each in record["suspects"]}
    shown = found["columns"][:MOST_COLUMNS]
    cards = Markup("").join(_column(each, suspects.get(each["name"])) for each in shown)
    rest = len(found["columns"]) - len(shown)
    more = Markup('<p class="soft">and {:,} more columns: millstream profile {} --json</p>').format(
        rest, record["table"]
    )
    return str(
        Markup(
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            "<title>{name}</title><style>{style}</style><header><h1>{name}</h1>"
            '<p class="soft">{about}</p>{facts}</header><main>{said}{time}'
            '<div class="columns">{cards}</div>{more}</main></html>'
        ).format(
            name=f"{record['table']}@{record['version']}",
            style=Markup(_STYLE + timelines.STYLE),
            about=record["description"] or "Profile of a table, as millstream profile sees it.",
            facts=_facts(record),
            said=_said(record),
            time=timelines.over_time(found["timeline"]) if found["timeline"] else "",
            cards=cards,
            more=more if rest else "",
        )
    )


def write(record: Mapping[str, Any], file: Any) -> None:
    """Write the page to a file.

    Raises
    ------
    NotFound
        When its folder is not there.
    """
    if not file.parent.is_dir():
        raise NotFound(f"there is no folder {file.parent}", do=f"mkdir -p {file.parent}")
    file.write_text(page(record), encoding="utf-8")


def _facts(record: Mapping[str, Any]) -> Markup:
    found = record["profile"]
    facts = {
        "rows": f"{found['rows']:,}",
        "columns": f"{len(found['columns']):,}",
        "versions": f"{record['version_count']:,}",
        "key": " + ".join(record["key"]) or f"none declared{_could(' + '.join(each) for each in found['keys'])}",
        "time": record["event_time"] or f"none declared{_could(found['times'])}",
        "repeated rows": f"{found['duplicates']:,}",
    }
    items = [Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*each) for each in facts.items()]
    return Markup("<dl>{}</dl>").format(Markup("").join(items))


def _could(names: Iterable[str]) -> str:
    first = next(iter(names), "")
    return f"; {first}?" if first else ""


def remarks(record: Mapping[str, Any]) -> list[str]:
    """Say what stands out of the table as a whole, for the page and the terminal."""
    found = record["profile"]
    said = list(found["says"])
    if not record["key_holds"]:
        said.append(
            f"the declared key {' + '.join(record['key'])} has several rows for one value: later ones correct it"
            + "".join(f"; {each['rows']:,} for {each['key']}" for each in found["repeats"][:2])
        )
    if not record["key"]:
        keys = [" + ".join(each) for each in found["keys"][:3]]
        said.append(
            f"no key is declared; {' or '.join(keys)} could be one" if keys else "it has no key, and none offers itself"
        )
    if not record["event_time"] and found["times"]:
        said.append(f"no event time is declared; {' or '.join(found['times'][:3])} could be one")
    said += [f"no rows between {each['since']} and {each['until']}" for each in found["gaps"]]
    if record.get("lag"):
        cover = f"; lag='{record['lag']['suggested']}' covers 99 of 100" if record["lag"]["p99"] is not None else ""
        said.append(f"lag: {record['lag']['says']}{cover}")
    return said + list(record["assumptions"])


def _said(record: Mapping[str, Any]) -> Markup:
    cards, found = [], record["profile"]
    for title, style, lines in (
        ("What stands out", "", remarks(record)),
        (
            "What could go wrong for a model",
            "",
            [
                Markup('<b>{column}</b>: {says}<br><span class="soft">{do}</span>').format(**each)
                for each in found["pitfalls"]
            ],
        ),
        (
            f"May tell the label {record['label']}",
            "warned",
            [f"{each['column']}: {each['says']}" for each in record["suspects"]],
        ),
    ):
        if lines:
            items = Markup("").join(Markup("<li>{}</li>").format(each) for each in lines)
            cards.append(
                Markup('<section class="card {}"><h2>{}</h2><ul>{}</ul></section>').format(style, title, items)
            )
    return Markup("").join(cards)


def _column(column: Mapping[str, Any], suspect: str | None) -> Markup:
    rows = column["rows"] or 1
    there = 1 - column["nulls"] / rows
    says = [*column["says"], *([f"may tell the label: {suspect}"] if suspect else [])]
    notes = Markup("").join(Markup('<div class="small warn">{}</div>').format(each) for each in says)
    parts = [
        Markup('<div class="head"><h2>{}</h2><span class="kind">{}</span></div>').format(
            column["name"], column["kind"]
        ),
        Markup(
            '<div class="filled" role="img" aria-label="{0} of rows have a value"><i style="width:{1:.1f}%"></i></div>'
        ).format(f"{there:.1%}", there * 100),
        Markup('<div class="small soft">{} filled, {:,} different{}</div>').format(
            f"{there:.1%}", column["distinct"], _middle(column)
        ),
        notes,
        _bars(column["bars"], column["name"]) if column["bars"] else "",
    ]
    if column["bars"] and column["low"] is not None:
        parts.append(Markup('<div class="ends"><span>{}</span><span>{}</span></div>').format(*_ends(column)))
    if column["top"] and not column["bars"]:
        parts.append(_top(column["top"], rows))
    return Markup('<section class="card{}">{}</section>').format(
        " warned" if suspect else "", Markup("").join(each for each in parts if each)
    )


def _ends(column: Mapping[str, Any]) -> list[str]:
    """Write the smallest and largest value; times are in UTC."""
    return [
        str(column[each]).removesuffix("+00:00").removesuffix(":00") if column["kind"] == "time" else column[each]
        for each in ("low", "high")
    ]


def _middle(column: Mapping[str, Any]) -> str:
    if column["quantiles"]:
        return f", median {column['quantiles']['0.5']:.4g}, mean {column['mean']:.4g}"
    return "" if column["mean"] is None else f", true in {column['mean']:.1%}"


def _bars(bars: Sequence[Mapping[str, Any]], name: str) -> Markup:
    most = max(each["rows"] for each in bars) or 1
    width = 1000 / len(bars)
    drawn = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {:,} rows</title></rect>').format(
            place * width + 3, 100 - height, width - 6, height, each["value"], each["rows"]
        )
        for place, each in enumerate(bars)
        if (height := max(100 * each["rows"] / most, 1.5 if each["rows"] else 0))
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"'
        ' aria-label="Histogram of {}">{}</svg>'
    ).format(name, drawn)


def _top(top: Sequence[Mapping[str, Any]], rows: int) -> Markup:
    most = top[0]["rows"] or 1
    lines = [
        Markup('<tr><td>{}</td><td class="bar"><i style="width:{:.1f}%"></i></td><td>{:.1%}</td></tr>').format(
            each["value"], 100 * each["rows"] / most, each["rows"] / rows
        )
        for each in top
    ]
    return Markup("<table>{}</table>").format(Markup("").join(lines))
