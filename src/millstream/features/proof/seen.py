"""Whether facts were here when they say they were known: values of the version that was there, beside those of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.features.plan import FeaturePlan, ViewPlan, WindowPlan
from millstream.features.proof.cells import Behind, Recomputed, equal
from millstream.features.proof.facts import Fact, Raw, plain
from millstream.lake.frame import TableFrame

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
    found = []
    for name, cell in new.items():
        if cell.unproven or equal(old[name].value, cell.value):
            continue
        view = next(each for each in views if name.startswith(f"{each.name}."))
        behind = _behind(then[view.table], now[view.table], view, name.removeprefix(f"{view.name}."), row)
        found.append((name, old[name].value, cell.value, behind))
    return found


def _only(plan: FeaturePlan, views: tuple[Any, ...]) -> FeaturePlan:
    import msgspec

    columns = tuple(c for c in plan.columns if any(c.name.startswith(f"{v.name}.") for v in views))
    return msgspec.structs.replace(plan, views=views, columns=columns, request_features={}, request={}, combined={})


def _behind(then: TableFrame, now: TableFrame, view: ViewPlan, feature: str, row: Mapping[str, Any]) -> Behind | None:
    """Find the first fact known by the decision, as it says, that was not there then, or not like that.

    Those that the feature reads, in its window, come before others about the same entity.
    """
    entity = {column: row[key] for column, key in zip(view.entity, view.keys, strict=True)}
    old, new = (_claimed(each, entity, int(row["decided_at"])) for each in (then, now))
    window = view.features[feature]
    reads = {
        *view.entity,
        *([now.event_time] if now.event_time else []),
        *(window.value.columns if window.value else ()),
    }
    others: list[Behind] = []
    for key, fact in (*new.items(), *((key, fact) for key, fact in old.items() if key not in new)):
        before = old.get(key)
        if key not in new:
            told, columns, both = _told(then, fact, GONE), reads, (fact,)
        elif before is None:
            told, columns, both = _told(now, fact, LATER), reads, (fact,)
        else:
            columns = {name for name in now.schema if not equal(fact.row[name], before.row.get(name))}
            if not columns:
                continue
            told, both = _told(now, fact, REWRITTEN), (fact, before)
        if columns & reads and any(_inside(each, window, at=int(row[view.at])) for each in both):
            return told
        others.append(told)
    return others[0] if others else None


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
