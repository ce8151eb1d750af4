"""Whether facts were here when they say they were known: values of the version that was there, beside those of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.features.plan import FeaturePlan, WindowPlan
from millstream.features.proof.cells import Behind, Recomputed, equal
from millstream.features.proof.facts import Fact, Raw, plain
from millstream.lake.frame import TableFrame

_Change = tuple[Behind, set[str], tuple[Fact, Fact]]
"""A fact that is other than it was: in words, the columns that differ, and how it is and was."""

LATER, REWRITTEN, GONE = "came later", "was rewritten", "was there and is no more"


def then_and_now(
    plan: FeaturePlan, row: Mapping[str, Any], then: Mapping[str, TableFrame], now: Mapping[str, TableFrame]
) -> list[tuple[str, Any, Any, Behind | None]]:
    """Compare the features of a row over the versions that were there at its decision with those trained on.

    Parameters
    ----------
    plan, row
        What is computed, for whom and when.
    then
        The versions that were the newest at the decision, of tables that have others since.
    now
        The versions that the model was trained on.

    Returns
    -------
    list
        Of each feature that differs: its name, its value then and now, and the fact that explains it, if one does.
    """
    views = tuple(each for each in plan.views if each.table in then)
    part = _only(plan, views)
    before, after = Recomputed(part, {**now, **then}), Recomputed(part, now)
    old, new = before.row(row), after.row(row)
    found, changed = [], dict[str, list[_Change]]()
    for name, cell in new.items():
        if cell.unproven or equal(old[name].value, cell.value):
            continue
        view = next(each for each in views if name.startswith(f"{each.name}."))
        if view.name not in changed:  # the facts are the same for all features of a view
            about = {column: row[key] for column, key in zip(view.entity, view.keys, strict=True)}
            changed[view.name] = _changes(then[view.table], now[view.table], about, at=int(row["decided_at"]))
        window = view.features[name.removeprefix(f"{view.name}.")]
        reads = {*view.entity, *(window.value.columns if window.value else ()), now[view.table].event_time}
        behind = _behind(changed[view.name], reads, window, at=int(row[view.at]))
        found.append((name, old[name].value, cell.value, behind))
    return found


def _only(plan: FeaturePlan, views: tuple[Any, ...]) -> FeaturePlan:
    import msgspec

    columns = tuple(c for c in plan.columns if any(c.name.startswith(f"{v.name}.") for v in views))
    return msgspec.structs.replace(plan, views=views, columns=columns, request_features={}, request={}, combined={})


def _changes(then: TableFrame, now: TableFrame, entity: Mapping[str, Any], *, at: int) -> list[_Change]:
    """List the facts known by the decision, as they say, that were not there then, or not like that, or are gone."""
    old, new = (_claimed(each, entity, at) for each in (then, now))
    found: list[_Change] = []
    for key, fact in new.items():
        was = old.get(key)
        if was is None:
            found.append((_told(now, fact, LATER), set(now.schema), (fact, fact)))
        elif columns := {name for name in now.schema if not equal(fact.row[name], was.row.get(name))}:
            found.append((_told(now, fact, REWRITTEN), columns, (fact, was)))
    gone = [fact for key, fact in old.items() if key not in new]
    return [*found, *((_told(then, fact, GONE), set(then.schema), (fact, fact)) for fact in gone)]


def _behind(changed: list[_Change], reads: set[str | None], window: WindowPlan, *, at: int) -> Behind | None:
    """Choose the first change in what a feature reads, in its window; where none is, the first."""
    for behind, columns, facts in changed:
        if columns & reads and any(_inside(each, window, at=at) for each in facts):
            return behind
    return changed[0][0] if changed else None


def _inside(fact: Fact, window: WindowPlan, *, at: int) -> bool:
    """Say whether a fact happened in a window."""
    if fact.event is None:
        return False
    since = None if window.over_us is None else at - window.ago_us - window.over_us
    return fact.event <= at - window.ago_us and (since is None or fact.event > since)


def _claimed(table: TableFrame, entity: Mapping[str, Any], at: int) -> dict[Any, Fact]:
    """Return the revisions about an entity that say they were known by an instant, by key and known-at."""
    raw = Raw(table)
    waits = list(dict.fromkeys(table.known.values()))
    facts = raw.facts(plain(raw.about(entity, until=at)), [])
    claimed = {}
    for fact in facts:
        instants = [fact.row[each] for each in waits]
        if not instants or any(each is not None and each <= at for each in instants):
            known = min((each for each in instants if each is not None), default=None)
            claimed[(fact.key or fact.position, known)] = Fact(fact.event, known, fact.key, fact.position, fact.row)
    return claimed


def _told(table: TableFrame, fact: Fact, kind: str) -> Behind:
    key = dict(zip(table.key, fact.key, strict=True)) if fact.key is not None else {"row": fact.position}
    return Behind(table.table, key, fact.event if table.event_time else None, fact.known, kind)
