"""The catalog: every table with what it means, whose it is, how fresh and how sound it is, and who depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from millstream.definitions.checks import Fresh
from millstream.errors import NotFound, near
from millstream.project.timeline import frame
from millstream.state import contracts, edits, pointer, quarantine, versions
from millstream.types import parse_duration, parse_instant

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.project.catalog.graph import Graph
    from millstream.project.root import Project
    from millstream.state.versions import TableVersion

VERSIONS = 20
"""Versions listed of one table, the newest."""
READS = 10
"""Reads listed of one table, the newest."""
_SEVERITIES = ("note", "warn", "stop")


def catalog(project: Project, *, table: str = "", find: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Say what data there is; with a table all about it, with a word only what has it in its names and descriptions.

    Nothing of a table's rows is read or shown: names, types, words and counts, as the state has them.

    Raises
    ------
    NotFound
        For a table that is not there; near matches are named.
    """
    from millstream.project.catalog.graph import Graph

    graph = Graph(project)
    if table:
        return {**frame(project), **_whole(project, graph, table)}
    heads = versions.heads(project.state)
    names = list(dict.fromkeys([*project.manifest.tables, *heads]))
    found = []
    for name in names:
        line = _line(project, graph, name)
        if find:
            where = _matches(line.pop("_columns"), graph, name, find)
            if not where:
                continue
            line["found_in"] = where
        else:
            line.pop("_columns")
        found.append(line)
    return {
        **frame(project),
        "tables": found,
        "count": len(found),
        "all": len(names),
        "columns": sum(each["columns"] for each in found),
        "find": find,
    }


def _line(project: Project, graph: Graph, name: str) -> dict[str, Any]:
    """Tell of one table in a line."""
    definition = project.manifest.tables.get(name)
    head = versions.head(project.state, name)
    words = sorted({word for said in graph.sensitivity.of(name).values() for word in said})
    return {
        "_columns": {} if head is None else head.schema,
        "name": name,
        "kind": head.kind if head is not None else "not read yet",
        "version": head.version if head is not None else None,
        "edited": edits.words(project.state, name, head.version) if head is not None else "",
        "rows": head.rows if head is not None else None,
        "columns": len(head.schema) if head is not None else 0,
        "owner": definition.owner if definition is not None else "",
        "description": definition.description if definition is not None else "written by the lake itself",
        "sensitive": words,
        "bytes_copied": _copied(project, name),
        "hops": hops(project, definition, head),
        **_freshness(project, definition, head),
        **_quality(project, definition, head),
        "consumers": {kind: len(each) for kind, each in _consumers(project, graph, name).items()},
    }


def _whole(project: Project, graph: Graph, name: str) -> dict[str, Any]:
    """Tell all about one table."""
    known = {*project.manifest.tables, *versions.heads(project.state)}
    if name not in known:
        raise NotFound(f"there is no table {name!r}", do=near(name, known))
    from millstream.project.catalog.graph import source_of
    from millstream.project.catalog.reads import reads

    definition, head = project.manifest.tables.get(name), versions.head(project.state, name)
    line = _line(project, graph, name)
    line.pop("_columns")
    history = versions.history(project.state, name)
    read = reads(project, table=name, limit=READS)
    return {
        "table": {
            **line,
            "source": source_of(project, name) if definition is not None else "",
            "inputs": dict(head.inputs) if head is not None else {},
            "sql": definition.sql or "" if definition is not None else "",
            "step": _step(definition),
            "key": list(definition.key) if definition is not None else [],
            "event_time": definition.event_time if definition is not None else None,
            "path": _path(project, name),
        },
        "column_list": _column_list(project, graph, name, definition, head),
        "contract_lines": _contract(definition, head),
        "checked": _checked(project, name),
        "used_by": _consumers(project, graph, name),
        "versions": [_version(each) for each in history[: -VERSIONS - 1 : -1]],
        "version_count": len(history),
        "schema_history": _accepted(project, name, changes(history)),
        "reads": read["reads"],
        "read_count": read["count"],
        "readers": read["people"],
    }


def _column_list(
    project: Project, graph: Graph, name: str, definition: Table | None, head: TableVersion | None
) -> list[dict[str, Any]]:
    """Tell of each column: type, meaning, tags with where they come from, part it plays, when known, made of what."""
    if head is None:
        return []
    said = graph.sensitivity.of(name)
    origins = graph.columns.of(name)
    known = definition.known_at if definition is not None else {}
    found = []
    for column, dtype in head.schema.items():
        plays = [] if definition is None else ["key"] * (column in definition.key)
        plays += ["event time"] * (definition is not None and column == definition.event_time)
        bases = [".".join(each) for each in origins.values.get(column, ())] if origins.exact else []
        found.append(
            {
                "name": column,
                "type": dtype,
                "about": _about(project, graph, name, column),
                "sensitive": dict(said.get(column, {})),
                "plays": plays,
                "known_at": known.get(column, known.get("*", "")),
                "how": origins.how.get(column, ""),
                "from": bases,
            }
        )
    return found


def _about(project: Project, graph: Graph, table: str, column: str, deep: int = 20) -> str:
    """Say what a column means: what its definition says, or that of the one it is, unchanged."""
    definition = project.manifest.tables.get(table)
    if definition is None or deep == 0:
        return ""
    if column in definition.about:
        return definition.about[column]
    origins = graph.columns.of(table)
    bases = origins.values.get(column, ())
    if origins.exact and len(bases) == 1 and column not in origins.how:
        return _about(project, graph, *bases[0], deep=deep - 1)
    return ""


def _freshness(project: Project, definition: Table | None, head: TableVersion | None) -> dict[str, Any]:
    """Say how far a table is behind, against what its definition says; sums the way from the source."""
    lag = definition.lag if definition is not None else "0s"
    now = project.clock.now()
    behind = None
    if head is not None and head.event_max:
        behind = max(0.0, (now - parse_instant(head.event_max)).total_seconds())
    elif definition is not None and definition.of:  # computed when it is read: as far behind as what it reads
        inputs = [(project.manifest.table(each), versions.head(project.state, each)) for each in definition.of]
        found = [_freshness(project, *each)["seconds_behind"] for each in inputs]
        behind = max((each for each in found if each is not None), default=None)
    fresh = [each.within for each in definition.checks if isinstance(each, Fresh)] if definition is not None else []
    allowed = parse_duration(min(fresh, key=parse_duration)) if fresh else None
    return {
        "seconds_behind": behind,
        "seen_seconds_ago": (now - parse_instant(head.registered_at)).total_seconds() if head is not None else None,
        "lag": lag,
        "lag_seconds": _lag(project, definition).total_seconds(),
        "allowed_seconds": allowed.total_seconds() if allowed is not None else None,
        "late": allowed is not None and behind is not None and behind > allowed.total_seconds(),
    }


def _lag(project: Project, definition: Table | None) -> timedelta:
    """Add up the declared lags on the longest way from a source."""
    if definition is None:
        return timedelta(0)
    before = [_lag(project, project.manifest.table(each)) for each in definition.of]
    return parse_duration(definition.lag) + max(before, default=timedelta(0))


def hops(project: Project, definition: Table | None, head: TableVersion | None) -> int:
    """Count the copies and computations between the production table and this one."""
    if definition is not None and definition.of:
        inputs = [project.manifest.table(each) for each in definition.of]
        return 1 + max(hops(project, each, versions.head(project.state, each.name)) for each in inputs)
    return 0 if head is None or head.kind in ("attached", "own") else 1


def _quality(project: Project, definition: Table | None, head: TableVersion | None) -> dict[str, Any]:
    checked = contracts.last(project.state, head.table) if head is not None else None
    failed = [each for each in checked.report["results"] if not each["ok"]] if checked is not None else []
    worst = "none" if definition is None or not definition.checks else "ok" if checked is not None else "unchecked"
    for word in _SEVERITIES:
        worst = word if any(each["severity"] == word for each in failed) else worst
    return {
        "contract": worst,
        "failed": len(failed),
        "checked_at": checked.checked_at if checked is not None else None,
        "quarantined": quarantine.count(project.state, head.table, head.version) if head is not None else 0,
    }


def _checked(project: Project, name: str) -> dict[str, Any] | None:
    """Tell the last report: which checks hold, by what they ask, and no value of a row."""
    checked = contracts.last(project.state, name)
    if checked is None:
        return None
    results = [
        {word: each[word] for word in ("check", "subject", "ok", "severity")} for each in checked.report["results"]
    ]
    return {"version": checked.version, "at": checked.checked_at, "results": results}


def _contract(definition: Table | None, head: TableVersion | None) -> list[str]:
    """Write what must hold, in plain lines."""
    if definition is None or head is None:
        return []
    from millstream.checks.contract import summary

    listed = f"{len(head.schema):,} columns of the types listed; another type, or one that is missing, is refused"
    return [listed, *summary(definition, head.schema)[1:]]  # type: ignore[arg-type]


def _consumers(project: Project, graph: Graph, name: str) -> dict[str, list[str]]:
    """Name who depends on a table: tables, views and models, however many steps on, and the releases that answer."""
    found: dict[str, dict[str, None]] = {"table": {}, "view": {}, "model": {}}
    waiting: list[tuple[str, str]] = [("table", name)]
    while waiting:
        for edge in graph.down(waiting.pop()):
            kind, other = edge.node
            if kind in found and other not in found[kind] and other != name:
                found[kind][other] = None
                waiting.append(edge.node)
    live = []
    for model in found["model"]:
        release = pointer.get(project.state, model).release
        if release:
            from millstream.state import releases

            live.append(releases.get(project.state, release).name)
    return {
        "tables": sorted(found["table"]),
        "views": sorted(found["view"]),
        "models": sorted(found["model"]),
        "live": live,
    }


def _copied(project: Project, name: str) -> int:
    copied = "COALESCE(SUM(json_extract(CAST(body AS TEXT), '$.bytes_copied')), 0)"
    found = project.state.query(f"SELECT {copied} AS copied FROM table_versions WHERE name = ?", (name,))
    return int(found[0]["copied"])


def _path(project: Project, name: str) -> list[dict[str, Any]]:
    """List the way from the sources: each table on it, how it comes about and the lag it declares."""
    definition = project.manifest.tables.get(name)
    if definition is None:
        return []
    steps = [step for each in definition.of for step in _path(project, each)]
    head = versions.head(project.state, name)
    kind = head.kind if head is not None else "not read yet"
    mine = {"name": name, "kind": kind, "lag": definition.lag, "hops": hops(project, definition, head)}
    return list({each["name"]: each for each in [*steps, mine]}.values())


def _step(definition: Table | None) -> str:
    said = definition.step if definition is not None else None
    return "" if said is None else said if isinstance(said, str) else " ".join(said)


def _version(found: TableVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "rows": found.rows,
        "at": found.registered_at,
        "bytes_copied": found.bytes_copied,
        "columns": len(found.schema),
    }


def _accepted(project: Project, name: str, changed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each change of columns who brought it, and who accepted it where somebody had to."""
    from millstream.lake.ingest.schema_history import schema_history

    if not changed or name not in project.manifest.tables:
        return changed
    told = {each.version: each for each in schema_history(project.lake.catalog, name)}
    return [
        {
            **each,
            "by": told[each["version"]].actor if each["version"] in told else "",
            "accepted_by": told[each["version"]].accepted_by if each["version"] in told else "",
        }
        for each in changed
    ]


def changes(history: Iterable[TableVersion]) -> list[dict[str, Any]]:
    """List where the columns of a table changed from one version to the next, newest first."""
    found: list[dict[str, Any]] = []
    before: Mapping[str, str] | None = None
    for each in history:
        if before is not None and before != each.schema:
            new = {name: dtype for name, dtype in each.schema.items() if name not in before}
            gone = {name: dtype for name, dtype in before.items() if name not in each.schema}
            other = {
                name: [before[name], dtype]
                for name, dtype in each.schema.items()
                if name in before and before[name] != dtype
            }
            if new or gone or other:
                told = {"version": each.version, "at": each.registered_at, "new": new, "gone": gone, "other": other}
                found.append(told)
        before = each.schema
    return found[::-1]


def _matches(columns: Iterable[str], graph: Graph, name: str, word: str) -> list[str]:
    """Say where a word stands: the name, owner or words of a table, or its columns."""
    wanted = word.lower()
    definition = graph.project.manifest.tables.get(name)
    said = graph.sensitivity.of(name)
    found = ["name"] * (wanted in name.lower())
    if definition is not None:
        found += ["description"] * (wanted in definition.description.lower())
        found += ["owner"] * (wanted in definition.owner.lower())
        about = {column: text for column, text in definition.about.items() if wanted in text.lower()}
    else:
        about = {}
    tagged = {column for column, words in said.items() if any(wanted == each.lower() for each in words)}
    return found + [each for each in columns if wanted in each.lower() or each in about or each in tagged]
