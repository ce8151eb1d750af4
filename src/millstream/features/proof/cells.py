"""Recompute the features of one row from raw facts cut at its decision, and name the fact behind a difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import polars as pl

from millstream.expressions import Expression
from millstream.expressions.closure import to_closure
from millstream.features.plan import FeaturePlan, ViewPlan, WindowPlan
from millstream.features.proof import aggregates
from millstream.features.proof.facts import POSITION, Fact, Raw, plain
from millstream.features.proof.labels import ahead, closes
from millstream.features.targets import fold_of
from millstream.lake.frame import TableFrame

NEAR = 1e-9
"""Two numbers are equal when they differ by no more than this part of them: sums in another order may round."""


@dataclass(frozen=True)
class Behind:
    """The fact that a difference comes from, with when it was known (microseconds; None: never), and how."""

    table: str
    key: dict[str, Any]
    event_time: int | None
    known_at: int | None
    kind: str


@dataclass(frozen=True)
class Cell:
    """One value recomputed; ``unproven`` says why it could not be."""

    value: Any = None
    unproven: str = ""


@dataclass(frozen=True)
class Recomputed:
    """The features of a plan over raw facts.

    Parameters
    ----------
    plan
        What is computed.
    tables
        The version of every table that the plan reads.
    """

    plan: FeaturePlan
    tables: Mapping[str, TableFrame]
    _raw: dict[str, Raw] = field(default_factory=dict)
    _closures: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    _usual: dict[tuple[str, tuple[str, ...], str, int], tuple[Fraction, int]] = field(default_factory=dict)
    _valued: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict)

    def row(self, row: Mapping[str, Any]) -> dict[str, Cell]:
        """Recompute every feature of a row.

        Parameters
        ----------
        row
            Key, entities, request fields and ``decided_at`` (and ``target_at``), as values of the row language.

        Returns
        -------
        dict
            Feature to its value; the rows' own fields are read anew from the raw row where a prediction is about one.
        """
        row = self._as_known(row)
        found: dict[str, Cell] = {}
        kinds: dict[str, str] = {}
        for view in self.plan.views:
            found |= self._view(view, row)
            kinds |= {f"{view.name}.{name}": said.dtype for name, said in view.features.items()}
        for name, said in self.plan.request_features.items():
            found[name] = Cell(self._value(said, row))
        served = {name: _as_served(cell.value, kinds.get(name)) for name, cell in found.items()}
        values = {**row, **served}
        for name, said in self.plan.combined.items():
            open_ = next((found[each].unproven for each in said.columns if each in found and found[each].unproven), "")
            found[name] = Cell(unproven=open_) if open_ else Cell(self._value(said, values))
        return found

    def label(self, row: Mapping[str, Any], *, known_by: int) -> Cell:
        """Recompute the label of a row: of its last revision, or over facts to come as believed at an instant."""
        said, looks = self.plan.label, self.plan.ahead
        if looks is not None:
            if int(row["label_known_at"]) < closes(looks, int(row[looks.at])) + looks.lag_us:
                return Cell(f"not known before its window has closed, and taken as known at {row['label_known_at']}")
            return Cell(ahead(looks, self._table(looks.table), row, known_by=known_by, value=self._value))
        if said is None or not self.plan.of_rows or not self.plan.row_key:
            return Cell(unproven="the label is no expression over the row")
        raw = self._table(self.plan.rows_table)
        waits = raw.waits_for(said.columns)
        facts = [
            each
            for each in raw.facts(plain(raw.of_key({key: row[key] for key in self.plan.row_key})), waits)
            if each.known is not None and raw.is_there(each)
        ]
        last = max(facts, key=lambda each: (each.known or 0, each.position), default=None)
        return Cell(None if last is None else self._value(said, last.row))

    def behind(self, feature: str, row: Mapping[str, Any], trained: Any) -> Behind | None:
        """Find the one fact that, had it been known or still believed, would give the value that was trained on."""
        row = self._as_known(row)
        view, window = self._named(feature)
        if view is None or window is None or window.aggregate == "target":
            return None
        raw, waits = self._table(view.table), self._waits(view, window)
        now = int(row["decided_at"])
        facts = raw.facts(self._about(view, row, past=False), waits)
        believed = raw.believed(facts, waits, at=now)
        held = {each.position for each in believed}
        others = [each for each in facts if each.position not in held and raw.is_there(each)]
        for each in sorted(others, key=lambda fact: (fact.known is None, fact.known or 0)):
            kept = [fact for fact in believed if each.key is None or fact.key != each.key]
            if equal(self._answer(view, window, [*kept, each], row, seen=lambda: True), trained):
                late = each.known is None or each.known > now
                return self._told(raw, each, "known only later" if late else "corrected by then")
        early = [each for each in others if each.known is None or each.known > now]
        if early and equal(
            self._answer(view, window, self._replaced(believed, early), row, seen=lambda: True), trained
        ):
            return self._told(raw, early[0], f"known only later, with {len(early) - 1} more" if early[1:] else "later")
        for each in believed:
            kept = [fact for fact in believed if fact is not each]
            if equal(self._answer(view, window, kept, row, seen=lambda: True), trained):
                return self._told(raw, each, "left out, and known by then")
        return None

    def _replaced(self, believed: list[Fact], early: list[Fact]) -> list[Fact]:
        keys = {each.key for each in early if each.key is not None}
        latest = {each.key or each.position: each for each in sorted(early, key=lambda fact: fact.known or 0)}
        return [*(each for each in believed if each.key not in keys), *latest.values()]

    def _told(self, raw: Raw, fact: Fact, kind: str) -> Behind:
        key = dict(zip(raw.table.key, fact.key, strict=True)) if fact.key is not None else {"row": fact.position}
        event = fact.event if raw.table.event_time is not None else None
        return Behind(raw.table.table, key, event, fact.known, kind)

    def _view(self, view: ViewPlan, row: Mapping[str, Any]) -> dict[str, Cell]:
        raw = self._table(view.table)
        rows = self._about(view, row)
        found = {}
        for feature, window in view.features.items():
            name = f"{view.name}.{feature}"
            if not aggregates.known(window.aggregate):
                found[name] = Cell(unproven=f"nobody has written the slow {window.aggregate}")
                continue
            waits = self._waits(view, window)
            believed = raw.believed(raw.facts(rows, waits), waits, at=int(row["decided_at"]))
            seen = self._seen(view, waits, row, ago_us=window.ago_us)
            found[name] = Cell(self._answer(view, window, believed, row, seen=seen))
        return found

    def _answer(
        self, view: ViewPlan, window: WindowPlan, believed: list[Fact], row: Mapping[str, Any], *, seen: Any
    ) -> Any:
        """Evaluate a window over what was believed."""
        at = int(row[view.at])
        mine = [each for each in believed if self._is_about(view, each, row) and _inside(each, at, window)]
        if window.value is None:
            pairs = [(each, True) for each in mine]
        else:
            valued = [(each, self._value(window.value, each.row)) for each in mine]
            pairs = [(each, value) for each, value in valued if value is not None]
        if window.aggregate == "target":
            return self._smoothed(view, window, pairs, row)
        answer = aggregates.evaluate(window, pairs, at=at, seen=seen)
        return float(answer) if isinstance(answer, Fraction) and window.dtype == "double" else answer

    def _smoothed(self, view: ViewPlan, window: WindowPlan, pairs: list[Any], row: Mapping[str, Any]) -> Any:
        assert window.value is not None and window.smooth is not None
        raw, fold = self._table(view.table), -1
        if view.table == self.plan.rows_table and raw.table.event_time is None and not raw.table.known:
            fold = fold_of(row[each] for each in raw.table.key)
            pairs = [(fact, value) for fact, value in pairs if fact.key is None or fold_of(fact.key) != fold]
        total, count = self._everybody(view, window, aggregates.day_begins(int(row["decided_at"])), without=fold)
        return aggregates.smoothed(pairs, (total, count), smooth=window.smooth)

    def _everybody(self, view: ViewPlan, window: WindowPlan, at: int, *, without: int) -> tuple[Fraction, int]:
        """Sum and count all values believed at an instant, of whomever, without those of a fold (-1 for none)."""
        assert window.value is not None
        name = (view.table, view.entity, window.value.text, at if without < 0 else without)
        if name not in self._usual:
            raw, waits = self._table(view.table), self._waits(view, window)
            frame = self._with_values(view, window.value)
            known = [(pl.col(each).to_physical() <= at).fill_null(False) for each in waits]
            rows = frame.filter(known) if known else frame
            if raw.table.key:
                nobody = pl.any_horizontal(pl.col(each).is_null() for each in raw.table.key)
                latest = [pl.max_horizontal(waits)] if waits else []
                order = [*latest, *map(pl.col, (*waits, *raw.waits_for(()), POSITION))]
                last = rows.filter(~nobody).sort(order).unique(raw.table.key, keep="last")
                rows = pl.concat([last, rows.filter(nobody)])
            if raw.table.event_time is not None:
                rows = rows.filter((pl.col(raw.table.event_time).to_physical() <= at).fill_null(False))
            rows = rows if raw.table.gone is None else rows.filter(pl.col(raw.table.gone) == 0)
            if without >= 0:
                folds = [fold_of(each) for each in rows.select(pl.col(raw.table.key).to_physical()).iter_rows()]
                rows = rows.filter(pl.Series(folds, dtype=pl.Int64) != without)
            values = rows.filter([pl.col(each).is_not_null() for each in view.entity])["__value"].drop_nulls()
            self._usual[name] = Fraction(math.fsum(values.to_list())), len(values)
        return self._usual[name]

    def _with_values(self, view: ViewPlan, said: Expression) -> pl.DataFrame:
        """Return a table with the value of an expression in every row, computed row by row, once."""
        name = (view.table, said.text)
        if name not in self._valued:
            frame = self._table(view.table).everything()
            values = [self._value(said, each) for each in plain(frame.select(said.columns))]
            self._valued[name] = frame.with_columns(pl.Series("__value", values).cast(pl.Float64))
        return self._valued[name]

    def _seen(self, view: ViewPlan, waits: list[str], row: Mapping[str, Any], *, ago_us: int) -> Callable[[], bool]:
        """Say whether at any instant by the decision a fact had happened so long ago and was believed."""

        def ever() -> bool:
            raw, now = self._table(view.table), int(row["decided_at"])
            facts = raw.facts(plain(raw.about(self._entity(view, row), until=now)), waits)
            begun = {max(f.event + ago_us, f.known) for f in facts if f.event is not None and f.known is not None}
            return any(
                self._is_about(view, fact, row) and fact.event is not None and fact.event + ago_us <= instant
                for instant in sorted(begun)
                if instant <= now
                for fact in raw.believed(facts, waits, at=instant)
            )

        return ever

    def _about(self, view: ViewPlan, row: Mapping[str, Any], *, past: bool = True) -> list[dict[str, Any]]:
        """Return the revisions that a view's windows may need; with ``past`` only those known by the decision."""
        raw, at, now = self._table(view.table), int(row[view.at]), int(row["decided_at"])
        lengths = [each.over_us for each in view.features.values()]
        known = [each.over_us + each.ago_us for each in view.features.values() if each.over_us is not None]
        since = at - max(known) if len(known) == len(lengths) else None
        rows = raw.about(self._entity(view, row), since=since, until=at)
        instants = list(dict.fromkeys(raw.table.known.values()))
        if past and instants:  # the cut: what nobody knew anything of by then is not even looked at
            rows = rows.filter(
                pl.any_horizontal((pl.col(each).to_physical() <= now).fill_null(False) for each in instants)
            )
        return plain(rows.select(self._needed(view, raw)))

    def _needed(self, view: ViewPlan, raw: Raw) -> list[str]:
        """Name the columns without which a view cannot be recomputed: the others of a wide table cost time."""
        values = [name for each in view.features.values() if each.value is not None for name in each.value.columns]
        marks = [each for each in (raw.table.event_time, raw.table.gone, POSITION) if each is not None]
        return list(dict.fromkeys((*raw.table.key, *view.entity, *values, *raw.table.known.values(), *marks)))

    def _as_known(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row with its own fields read anew: as believed at the decision, from the raw rows of its key."""
        plan = self.plan
        if not plan.of_rows or not plan.row_key or any(row.get(key) is None for key in plan.row_key):
            return dict(row)
        raw = self._table(plan.rows_table)
        inputs = [each for each in dict.fromkeys((*plan.entity_columns, *plan.request)) if each in raw.table.schema]
        told = [name for each in (plan.where, plan.decide_at) if each is not None for name in each.columns]
        waits = [raw.table.known[each] for each in (*inputs, *told) if each in raw.table.known]
        waits = list(dict.fromkeys(waits))
        rows = raw.facts(plain(raw.of_key({key: row[key] for key in plan.row_key})), waits)
        known = [each for each in rows if each.known is not None and each.known <= int(row["decided_at"])]
        if not known or not inputs:
            return dict(row)
        last = max(known, key=lambda each: (each.known or 0, each.position))
        return {**row, **{name: last.row[name] for name in inputs}}

    def _entity(self, view: ViewPlan, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[key] for name, key in zip(view.entity, view.keys, strict=True)}

    def _is_about(self, view: ViewPlan, fact: Fact, row: Mapping[str, Any]) -> bool:
        return all(fact.row[name] == value and value is not None for name, value in self._entity(view, row).items())

    def _waits(self, view: ViewPlan, window: WindowPlan) -> list[str]:
        raw = self._table(view.table)
        value = window.value.columns if window.value is not None else raw.table.key
        event = (raw.table.event_time,) if raw.table.event_time else ()
        return raw.waits_for((*value, *view.entity, *event))

    def _value(self, said: Expression, row: Mapping[str, Any]) -> Any:
        if id(said) not in self._closures:  # one text may be said of columns of several types
            self._closures[id(said)] = to_closure({"value": said})
        return self._closures[id(said)](row)["value"]

    def _table(self, name: str) -> Raw:
        if name not in self._raw:
            self._raw[name] = Raw(self.tables[name])
        return self._raw[name]

    def _named(self, feature: str) -> tuple[ViewPlan | None, WindowPlan | None]:
        for view in self.plan.views:
            window = view.features.get(feature.removeprefix(f"{view.name}."))
            if window is not None and feature.startswith(f"{view.name}."):
                return view, window
        return None, None


def _inside(fact: Fact, at: int, window: WindowPlan) -> bool:
    if fact.event is None or fact.event + window.ago_us > at:
        return False
    return window.over_us is None or at < fact.event + window.ago_us + window.over_us


def equal(one: Any, other: Any) -> bool:
    """Say whether two values are the same; numbers to one part in a thousand million."""
    if one is None or other is None or isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return math.isclose(float(one), float(other), rel_tol=NEAR, abs_tol=1e-12)


def _as_served(value: Any, kind: str | None) -> Any:
    """Return a whole number of a view as features made of it read it, here and served: as a double holds it."""
    if value is None or kind != "bigint":
        return value
    whole = float(value)
    return int(whole) if abs(whole) < 2.0**63 else None
