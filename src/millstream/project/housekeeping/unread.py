"""Columns and features that nobody reads: no definition uses them, no live release, and no read on the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from millstream.project.catalog.graph import Graph, Node
from millstream.project.people import ALL
from millstream.state import pointer, releases, versions

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

Column = tuple[str, str]
"""Table and column."""


def unread(project: Project, read: Mapping[str, Iterable[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Name the columns of each table, and the features, that nobody reads and nothing needs.

    A column is needed if it is a key or a time, if a feature, label, model or live release reads it, if it decides the
    rows of a computed table, or if a column that is needed is computed from it. Of what a step or a query that cannot
    be followed does, nothing is known: all it is given counts. A check of a column is no read of it.

    Parameters
    ----------
    read
        Table to the columns that were read lately, as the ledger tells; ``all`` for every one.
    """
    graph = Graph(project)
    live = _live(project)
    needed = _needed(graph, _wanted(graph, read, live))
    columns: dict[str, list[str]] = {}
    for name, table in project.manifest.tables.items():
        head = versions.head(project.state, name)
        if head is not None:
            known = [each for each in head.schema if (name, each) not in needed and each not in table.known_at]
            columns[name] = known
    used = {role.view for model in project.manifest.models.values() for role in project.manifest.roles(model)}
    answering = {each.name for plan in live for each in plan.columns}
    features = [
        f"{view.name}.{each}"
        for view in project.manifest.views.values()
        if view.name not in used
        for each in view.features
        if f"{view.name}.{each}" not in answering
    ]
    return {name: each for name, each in columns.items() if each}, features


def _wanted(graph: Graph, read: Mapping[str, Iterable[str]], live: list[FeaturePlan]) -> set[Column]:
    """Return the columns that something outside of the tables reads."""
    from millstream.project.catalog.reads import columns_of

    manifest = graph.project.manifest
    found: set[Column] = set()
    nodes: list[Node] = [(kind, name) for kind in ("model", "label") for name in manifest.models]
    nodes += [("feature", f"{view.name}.{each}") for view in manifest.views.values() for each in view.features]
    for node in nodes:
        for edge in graph.up(node):
            found |= _columns(graph, edge.node)
    for table, names in [*read.items(), *(each for plan in live for each in columns_of(plan).items())]:
        found |= {(table, each) for each in names if each != ALL}
        if ALL in names:
            found |= _columns(graph, ("table", table))
    for name, each in manifest.tables.items():
        times = (each.event_time, each.valid_from, each.valid_to)
        found |= {(name, one) for one in (*each.key, *times) if one}
    return found


def _needed(graph: Graph, wanted: set[Column]) -> set[Column]:
    """Follow columns to all that they are computed from; what decides which rows there are is needed too."""
    found, waiting = set(wanted), deque(wanted)
    for name in graph.project.manifest.tables:
        origins = graph.columns.of(name)
        inputs = {base for bases in origins.values.values() for base in bases if base[0] != name}
        waiting.extend((set(origins.rows) | (inputs if not origins.exact else set())) - found)
    while waiting:
        each = waiting.popleft()
        found.add(each)
        if each[0] not in graph.project.manifest.tables:
            continue
        origins = graph.columns.of(each[0])
        more = {*origins.values.get(each[1], ()), *origins.times.get(each[1], ())} - found
        found |= more
        waiting.extend(more)
    return found


def _columns(graph: Graph, node: Node) -> set[Column]:
    """Return a column, or all of a table."""
    kind, name = node
    if kind == "column":
        table, _, column = name.partition(".")
        return {(table, column)}
    if kind == "table":
        return {(name, each) for each in graph.columns.schema(name)}
    return set()


def _live(project: Project) -> list[FeaturePlan]:
    """Return what the releases that answer now read; of one that cannot be opened ``verify`` tells."""
    from millstream.errors import MillstreamError
    from millstream.features.plan import FeaturePlan

    found = []
    for model in project.manifest.models:
        release = pointer.get(project.state, model).release
        if release:
            try:
                opened = project.releases.open(releases.get(project.state, release))
            except MillstreamError:
                continue
            found.append(FeaturePlan.decode(opened.read("plan.json")))
    return found
