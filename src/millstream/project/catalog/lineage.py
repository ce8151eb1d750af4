"""Lineage: where something comes from and what is made of it, and what breaks if a column is renamed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.errors import NotFound, UserError, near
from millstream.project.catalog.graph import Edge, Graph, Node
from millstream.project.timeline import frame
from millstream.state import versions

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

SHOWN = 200
"""Things drawn at once in one direction; what lies behind is counted, and asked for by its own name."""
SIDE_BY_SIDE = 12
"""Things drawn under one; the others are counted."""
REACHED = 20_000
"""Things counted at most."""
_WORDS = ("source", "table", "column", "view", "feature", "label", "model", "version", "prediction")


def lineage(project: Project, *, name: str, actor: str = "somebody") -> dict[str, Any]:
    """Trace one thing both ways, from the definitions: source, column, feature, label, model, version, prediction.

    Parameters
    ----------
    project
        Whose definitions.
    name
        ``flights``, ``flights.dep_delay``, ``carrier_form.late_share_7d``, ``late``, ``late@2``, the id of a
        prediction; with its kind before it where two have one name (``table:late``).

    Raises
    ------
    NotFound
        For a name that nothing has; near matches are named.
    UserError
        For one that two things have.
    """
    node, extra, plans = _named(project, name)
    graph = Graph(project, plans)
    up, down = _Tree(graph.up), _Tree(graph.down)
    trees = {"upstream": up.of(node), "downstream": down.of(node)}
    above, below = up.reach(node), down.reach(node)
    columns = [each for each in above if each[0] == "column" and _from_source(graph, each[1])]
    said = sorted({origins.says for each in above | {node} if (origins := _origins(graph, each)) and origins.says})
    return {
        **frame(project),
        "name": node[1],
        "kind": node[0],
        **trees,
        "above": _counted(above),
        "below": _counted(below),
        "sources": sorted(each[1] for each in columns),
        "models": sorted({each[1] for each in below if each[0] == "model"}),
        "says": said,
        "breaks": _breaks(graph, node[1]) if node[0] == "column" else [],
        **extra,
    }


class _Tree:
    """Lays edges out as a tree that is never larger than one can look at; what stands in it already is named again."""

    def __init__(self, step: Callable[[Node], list[Edge]]) -> None:
        self._step = step
        self._known: dict[Node, list[Edge]] = {}
        self._drawn: set[Node] = set()

    def of(self, node: Node) -> list[dict[str, Any]]:
        """Return what lies behind a thing, nested."""
        self._drawn = {node}
        return self._children(node)

    def reach(self, node: Node) -> set[Node]:
        """Return everything behind a thing."""
        found: set[Node] = set()
        waiting = deque([node])
        while waiting and len(found) < REACHED:
            for edge in self._edges(waiting.popleft()):
                if edge.node not in found and edge.node != node:
                    found.add(edge.node)
                    if edge.how != "rows":
                        waiting.append(edge.node)
        return found

    def _edges(self, node: Node) -> list[Edge]:
        if node not in self._known:
            self._known[node] = self._step(node)
        return self._known[node]

    def _children(self, node: Node) -> list[dict[str, Any]]:
        by_node: dict[Node, list[Edge]] = {}
        for edge in self._edges(node):
            by_node.setdefault(edge.node, []).append(edge)
        drawn: list[dict[str, Any]] = []
        for other, edges in by_node.items():
            if len(drawn) >= SIDE_BY_SIDE or len(self._drawn) >= SHOWN:
                break
            drawn.append(self._drawing(other, edges))
        left = len(by_node) - len(drawn)
        return [*drawn, {"kind": "more", "name": f"{left:,} more", "count": left}] if left else drawn

    def _drawing(self, node: Node, edges: list[Edge]) -> dict[str, Any]:
        how = list(dict.fromkeys(each.how for each in edges))
        part = node[1].partition("/")[2] if node[0] == "part" else ""
        said = {
            "kind": node[0] if not part else "label" if part == "label" else "feature",
            "name": part or node[1],
            "how": how,
            "says": next((each.says for each in edges if each.says), ""),
        }
        if how == ["rows"]:
            return {**said, "again": False, "children": []}
        if node in self._drawn:
            return {**said, "again": bool(self._edges(node)), "children": []}
        self._drawn.add(node)
        return {**said, "again": False, "children": self._children(node)}


def _named(project: Project, name: str) -> tuple[Node, dict[str, Any], dict[str, FeaturePlan]]:
    """Find what a name stands for; of a version and a prediction also what it read, from the signed bundle."""
    kind, _, rest = name.partition(":")
    said, plain = (kind, rest) if kind in _WORDS and rest else ("", name)
    manifest = project.manifest
    first, _, second = plain.partition(".")
    tables = {*manifest.tables, *versions.heads(project.state)}
    found: list[Node] = []
    if not second:
        found += [("table", plain)] * (plain in tables) + [("view", plain)] * (plain in manifest.views)
        found += [("model", plain)] * (plain in manifest.models)
        found += [("label", plain)] * (said == "label" and plain in manifest.models)
    else:
        head = versions.head(project.state, first)
        found += [("column", plain)] * (head is not None and second in head.schema)
        found += [("feature", plain)] * (first in manifest.views and second in manifest.views[first].features)
    found = [each for each in found if not said or each[0] == said]
    if len(found) > 1:
        ways = " or ".join(f"{each}:{plain}" for each, _ in found)
        raise UserError(f"{plain!r} names {len(found)} things", expected=ways)
    if found:
        return found[0], {}, {}
    if "@" in plain and not second:
        return _version(project, plain)
    if not second and "-" in plain:
        return _prediction(project, plain)
    raise NotFound(
        f"there is no {said or 'table, column, feature, model or answer'} {plain!r}", do=_near(project, plain)
    )


def _near(project: Project, name: str) -> str:
    first, _, second = name.partition(".")
    head = versions.head(project.state, first)
    if second and head is not None:
        return near(name, [f"{first}.{each}" for each in head.schema])
    if second and first in project.manifest.views:
        return near(name, [f"{first}.{each}" for each in project.manifest.views[first].features])
    known = {*project.manifest.tables, *project.manifest.views, *project.manifest.models}
    return near(first, known)


def _version(project: Project, name: str) -> tuple[Node, dict[str, Any], dict[str, FeaturePlan]]:
    from millstream.features.plan import FeaturePlan
    from millstream.project.models.ship import release_of
    from millstream.training import read_record

    row = release_of(project, name)
    opened = project.releases.open(row)  # every file as signed, or nothing is told by it
    plan = FeaturePlan.decode(opened.read("plan.json"))
    pins = dict(read_record(opened.path).pins)
    extra = {"pins": pins, "status": row.status, "built_at": row.built_at, "built_by": row.built_by}
    return ("version", row.name), extra, {row.name: plan}


def _prediction(project: Project, name: str) -> tuple[Node, dict[str, Any], dict[str, FeaturePlan]]:
    from millstream.project.answering import answers
    from millstream.state import releases
    from millstream.types import from_micros

    said = answers.find(project, name).prediction
    if said is None:
        raise NotFound(f"{name} is an outcome, not a prediction", do="give the id of an answer")
    node, extra, plans = _version(project, releases.get(project.state, said.release).name)
    answer = {
        "answered_at": from_micros(said.at_us).isoformat(),
        "answered_by": said.answered_by,
        "tables": said.applied,
    }
    return node, {**extra, "prediction": name, "answer": answer}, plans


def _origins(graph: Graph, node: Node) -> Any:
    table = node[1].partition(".")[0]
    return (
        graph.columns.of(table) if node[0] in ("column", "table") and table in graph.project.manifest.tables else None
    )


def _from_source(graph: Graph, name: str) -> bool:
    table, _, column = name.partition(".")
    definition = graph.project.manifest.tables.get(table)
    return definition is not None and definition.source is not None and column not in definition.columns


def _counted(nodes: set[Node]) -> dict[str, int]:
    found: dict[str, int] = {}
    for kind, _ in sorted(nodes):
        found[kind] = found.get(kind, 0) + 1
    return found


def _breaks(graph: Graph, name: str) -> list[dict[str, str]]:
    """Say what would not work any more if a column had another name, each with the first reason."""
    table, _, column = name.partition(".")
    found: dict[Node, str] = {}
    definition = graph.project.manifest.tables.get(table)
    if definition is not None:
        said = [definition.event_time, *definition.key, *definition.about, *definition.sensitive, *definition.known_at]
        if column in said:
            found["table", table] = f"its definition names {column}"
        for made, bases in graph.columns.of(table).values.items():
            if (table, column) in bases:
                found.setdefault(("table", table), f"{made} is computed from {column}")
        for made, bases in graph.columns.of(table).times.items():
            if (table, column) in bases:
                found.setdefault(("table", table), f"when {made} is known rests on {column}")
    if ("table", table) not in found:
        _named_later(graph, table, column, found)
    broken = deque(found)
    while broken:
        node = broken.popleft()
        downstream = ("view",) if node[0] == "feature" else ("model",) if node[0] == "label" else ()
        edges = [Edge((kind, node[1].partition(".")[0]), "") for kind in downstream] or graph.down(node)
        for edge in edges:
            if edge.node not in found and edge.node[0] not in ("version", "column"):
                found[edge.node] = f"it reads {node[0]} {node[1]}"
                broken.append(edge.node)
    shown = [(node, why) for node, why in found.items() if node[0] in ("table", "view", "model")]
    return [{"kind": kind, "name": other, "why": why} for (kind, other), why in shown]


def _named_later(graph: Graph, table: str, column: str, found: dict[Node, str]) -> None:
    """Find who names a column; through ``select *`` it goes on under its new name, to whoever names it there."""
    for other in graph.consumers.get(table, ()):
        origins = graph.columns.of(other)
        if (table, column) in origins.named:
            word = "its sql names" if origins.exact else "nobody can say whether it uses"
            found[("table", other)] = f"{word} {table}.{column}"
        elif (table, column) in origins.values.get(column, ()):
            _named_later(graph, other, column, found)
    for edge in graph.down(("column", f"{table}.{column}")):
        if edge.node[0] in ("feature", "label", "model"):
            found.setdefault(edge.node, f"{edge.says or 'it'} reads {table}.{column}")
            if edge.node[0] == "feature":
                found.setdefault(("view", edge.node[1].partition(".")[0]), f"{edge.node[1]} reads {table}.{column}")
            if edge.node[0] == "label":
                found.setdefault(("model", edge.node[1]), f"its label reads {table}.{column}")
