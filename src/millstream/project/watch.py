"""Watch: judge each day of each model, from what arrived, what was answered and what became true."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from millstream.definitions.tasks import Ranking
from millstream.project.answering.answers import AnswerTail
from millstream.project.answering.lists import Listed, settled_lists
from millstream.project.parity import nightly
from millstream.project.people import Person
from millstream.project.telling import alarms_told
from millstream.state import alarms, contracts, observations
from millstream.types import parse_duration, parse_instant, to_micros

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.plan import FeaturePlan
    from millstream.monitoring import DriftWindow, Judgement, OutcomeBook, Reference
    from millstream.project.root import Project
    from millstream.serving.records import Prediction

_DUE_AFTER = timedelta(days=2)
"""How long after its window has closed, or its row was decided, a label should be here."""

_LABELS_BACK = timedelta(days=6)
"""How far back labels are read again each day: late ones and corrections of this age still count."""


_REMEMBERED = timedelta(days=120)
_FORGET_EVERY = 30


@dataclass
class _Model:
    """What is kept in memory of one model between days."""

    book: OutcomeBook
    drift: DriftWindow
    predictions: int = 0
    outcomes: int = 0
    release: str = ""
    reference: Reference | None = None
    plan: FeaturePlan | None = None
    served: dict[date, list[bytes]] = field(default_factory=dict)
    grouped: dict[date, list[str]] = field(default_factory=dict)
    """Clusters of answers by day."""
    asked: dict[date, list[dict[str, Any]]] = field(default_factory=dict)
    """Keys of answers by the day they are judged with, of models whose rows are entities: no table has those rows."""
    listed: dict[date, list[Listed]] = field(default_factory=dict)
    """Lists by day, of models that answer with them."""
    whole: tuple[int, int] | None = None
    """Version of a table without time, and predictions, when its labels were joined last."""


class Watch:
    """Watches a project's models; keeps the outcomes and features of the last weeks in memory.

    Parameters
    ----------
    project
        The project. What was judged before is read from its state, so a new process goes on where one stopped.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._zone = ZoneInfo(project.settings.timezone)
        self._models: dict[str, _Model] = {}
        self._tail = AnswerTail(project)
        self._contracts_judged: dict[str, tuple[int, str | None]] = {}

    def judge(self, model: str | None = None) -> list[Judgement]:
        """Judge every day that has ended and is not judged yet; write observations, alarms and ledger rows."""
        from millstream.project.models.ship import live

        self._take_answers()
        names = [model] if model else list(self.project.manifest.models)
        done: list[Judgement] = []
        today = self.project.clock.now().astimezone(self._zone).date()
        for name in names:
            release = live(self.project, name)
            if release is None:
                continue
            kept = self._kept(name)
            new = not kept.release
            if kept.release != release.id:
                self._meet(kept, name, release)
            if new:
                self._go_on(kept, name)
            for day in self._days(name, today, release.built_at):
                done.append(self._judge_one(kept, name, day))
            first = self._first(release.built_at)
            done += nightly(self.project, name, first=first, today=today, span=self._span)
        done += self._judge_contracts(today - timedelta(days=1))
        return done

    def _days(self, model: str, today: date, since: str) -> Iterable[date]:
        last = observations.last_day(self.project.state, model)
        first = date.fromisoformat(last) + timedelta(days=1) if last else self._first(since)
        while first < today:
            yield first
            first += timedelta(days=1)

    def _first(self, since: str) -> date:
        return datetime.fromisoformat(since).astimezone(self._zone).date()

    def _kept(self, model: str) -> _Model:
        from millstream.monitoring import DriftWindow, OutcomeBook

        if model not in self._models:
            monitors = self.project.manifest.model(model).monitor
            self._models[model] = _Model(book=OutcomeBook(), drift=DriftWindow(parse_duration(monitors.window)))
        return self._models[model]

    def _meet(self, kept: _Model, model: str, release: Any) -> None:
        """Learn what a release that went live promised."""
        from millstream.project.models.reference import reference_of

        kept.plan, kept.reference = reference_of(self.project, release)
        kept.release = release.id
        kept.book.due_after = _DUE_AFTER + _looks_ahead(kept.plan)

    def _go_on(self, kept: _Model, model: str) -> None:
        """Take up the days that another process judged: their outcomes, their features as served, their totals."""
        last = observations.last_day(self.project.state, model)
        assert kept.plan is not None
        judged = sorted(day for day in kept.served if last is not None and day.isoformat() <= last)
        if last is None or not judged:
            return
        since = self._span(min([judged[0], *kept.asked]))[0]
        told = observations.series(self.project.state, model, "totals", "judged_at")
        end = self._span(date.fromisoformat(last))[1]
        judged_at = datetime.fromtimestamp(told[-1].value, UTC) if told and told[-1].value else end
        self._settle(kept, kept.plan, date.fromisoformat(last), judged_at, since=since)
        for day in judged:
            self._features(kept, kept.plan, day)
        totals = observations.series(self.project.state, model, "totals", "outcomes")
        kept.outcomes = int(totals[-1].value or 0) if totals else kept.outcomes

    def _take_answers(self) -> None:
        logged = self._tail.poll()
        for told in (each.outcome for each in logged):
            if told is not None and told.label is not None and told.model in self.project.manifest.models:
                self._kept(told.model).book.report(told.about, told.label, at_us=told.at_us)
        for model, (frame, said) in _answers(logged, self._zone, forecasts=self._forecasts).items():
            kept = self._kept(model)
            entities, lists = self._of_entities(model), self._of_lists(model)
            if lists:  # one key may be answered twice, by lists that differ
                frame = frame.with_columns(key="id")
            kept.predictions += kept.book.add_predictions(frame)
            places = zip(frame["id"].to_list(), frame["day"].to_list(), frame["asked_day"].to_list(), said, strict=True)
            for id_, day, asked, each in places:
                if lists and each.key and "items" in each.said:
                    kept.listed.setdefault(day, []).append(Listed(id_, each.at_us, each.key, each.said["items"]))
                if each.features:  # answers of the simple rule have none
                    kept.served.setdefault(asked, []).append(each.features)
                    if "distances" in each.said:
                        kept.grouped.setdefault(asked, []).append(each.said["class"])
                if entities and each.key:
                    kept.asked.setdefault(day, []).append(each.key)

    @property
    def _forecasts(self) -> frozenset[str]:
        """Models whose answers are about an instant ahead: they are judged with its day."""
        return frozenset(name for name, each in self.project.manifest.models.items() if each.rows.horizon is not None)

    def _of_entities(self, model: str) -> bool:
        defined = self.project.manifest.models.get(model)
        return defined is not None and defined.rows.step is not None

    def _of_lists(self, model: str) -> bool:
        defined = self.project.manifest.models.get(model)
        return defined is not None and isinstance(defined.task, Ranking)

    def _judge_one(self, kept: _Model, model: str, day: date) -> Judgement:
        from millstream.monitoring import Watched, apply, judge_day

        assert kept.reference is not None and kept.plan is not None
        now = self.project.clock.now()
        self._settle(kept, kept.plan, day, now)
        self._features(kept, kept.plan, day)
        watched = Watched(model, self.project.manifest.model(model).monitor, kept.reference)
        judgement = judge_day(
            day,
            watched=watched,
            book=kept.book,
            drift=kept.drift,
            batches=self._nulls(kept.reference, day),
            opened=alarms.opened(self.project.state, model),
            now=now,
        )
        with self.project.state.transact() as tx:
            apply(tx, judgement, ledger=self.project.ledger)
            observations.put(tx, _totals(model, day, kept, now))
        if day.toordinal() % _FORGET_EVERY == 0:
            last = day - _REMEMBERED - _looks_ahead(kept.plan)
            kept.book.forget(last)
            kept.listed = {each: lists for each, lists in kept.listed.items() if each >= last}
            kept.asked = {each: keys for each, keys in kept.asked.items() if each >= last}
        return judgement

    def _settle(
        self, kept: _Model, plan: FeaturePlan, day: date, now: datetime, *, since: datetime | None = None
    ) -> None:
        """Join labels that became known to their predictions: those of the tables, then those that were reported."""
        if plan.label_dtype is None:
            return
        self._settle_of_tables(kept, plan, day, now, since=since)
        kept.outcomes += kept.book.settle_reported(now)

    def _settle_of_tables(
        self, kept: _Model, plan: FeaturePlan, day: date, now: datetime, *, since: datetime | None
    ) -> None:
        import polars as pl

        from millstream.features import outcomes_of, spine
        from millstream.project.models.learn import static_instant

        start, end = self._span(day)
        begin = (since or start) - _LABELS_BACK - _looks_ahead(plan)
        if plan.ranking is not None:
            lists = [one for each, made in kept.listed.items() if self._span(each)[1] > begin for one in made]
            if lists:
                kept.outcomes += kept.book.settle(settled_lists(self.project, plan, lists, now), now)
            return
        if plan.ticks is not None:
            due = [each for each in kept.asked if each <= day and self._span(each)[1] > begin]
            keys = [key for each in due for key in kept.asked[each]]
            if keys:
                kept.outcomes += kept.book.settle(outcomes_of(plan, keys, self.project.lake.read, now=now), now)
            return
        timeless = plan.event_time is None
        if timeless and plan.ahead is None and not self.project.lake.known(plan.rows_table):
            same = (self.project.lake.head(plan.rows_table).version, kept.predictions)
            if kept.whole == same:  # the same rows, joined to the same predictions already
                return
            kept.whole = same
        at = static_instant(self.project, plan.rows_table) if timeless else None
        read = self.project.lake.read(plan.rows_table, between=None if timeless else (begin, end))
        if plan.ahead is None:
            rows = spine(plan, read, static_at=at)
        else:
            facts = self.project.lake.read(plan.ahead.table)
            rows = spine(plan, read, between=(None, now), facts=facts, static_at=at)
        if kept.reference is not None and kept.reference.classes:
            rows = rows.with_columns(pl.col("label").cast(pl.String))
        key = pl.concat_str([pl.col(each).cast(pl.String) for each in plan.row_key], separator="|")
        kept.outcomes += kept.book.settle(rows.select(key.alias("key"), "label", "label_known_at"), now)

    def _features(self, kept: _Model, plan: FeaturePlan, day: date) -> None:
        """Count the features of the day's answers, as they were served."""
        import numpy as np

        from millstream.training.artifact import CLUSTER

        width = 8 * len(plan.columns)  # a release before may have had other features
        lists = plan.ranking is not None  # each answer has a row an item
        served = [each for each in kept.served.pop(day, []) if len(each) == width or (lists and not len(each) % width)]
        if not served:
            return
        numbers = np.frombuffer(b"".join(served), dtype="<f8").reshape(-1, len(plan.columns))
        columns = {each.name: numbers[:, place] for place, each in enumerate(plan.columns)}
        groups = kept.grouped.pop(day, [])
        kept.drift.add(day, {**columns, CLUSTER: np.array(groups, dtype=object)} if groups else columns)

    def _nulls(self, reference: Reference, day: date) -> dict[str, tuple[int, int]]:
        """Count rows and NULLs of the day in the source columns that features read."""
        from millstream.project.models.reference import null_counts

        names = {each.partition(".")[0] for each in reference.nulls}
        return {
            column: counted[day]
            for name in sorted(names)
            for column, counted in null_counts(
                self.project, name, reference.nulls, between=self._span(day), zone=self._zone
            ).items()
            if day in counted
        }

    def _span(self, day: date) -> tuple[datetime, datetime]:
        """Return the instants at which a day of the project's zone begins and ends."""
        start, end = (datetime.combine(each, time(), tzinfo=self._zone) for each in (day, day + timedelta(days=1)))
        return start.astimezone(UTC), end.astimezone(UTC)

    def _judge_contracts(self, day: date) -> list[Judgement]:
        from millstream.monitoring import apply, judge_data
        from millstream.monitoring.contracts import from_record

        findings = []
        if not self._contracts_judged:
            self._contracts_judged = self._judged_before()
        for name in self.project.manifest.tables:
            checked = contracts.last(self.project.state, name)
            if checked is None:
                continue
            known = (checked.version, checked.report.get("checked_at"))
            if self._contracts_judged.get(name) != known:
                self._contracts_judged[name] = known
                findings += from_record(checked.report, day)
        if not findings:
            return []
        now = self.project.clock.now()
        judgement = judge_data(day, findings, opened=alarms.opened(self.project.state), now=now)
        with self.project.state.transact() as tx:
            apply(tx, judgement, ledger=self.project.ledger)
        return [judgement]

    def _judged_before(self) -> dict[str, tuple[int, str | None]]:
        """Return the version and instant of each table's check that another process judged last."""
        found: dict[str, tuple[int, str | None]] = {}
        for kind, subject in observations.subjects(self.project.state, ""):
            if kind == "contract":
                last = observations.series(self.project.state, "", kind, subject)[-1]
                table = subject.partition(".")[0]
                known = (last.detail["version"], last.detail.get("checked_at"))
                found[table] = max(found.get(table, known), known, key=lambda each: (each[0], each[1] or ""))
        return found


def _totals(model: str, day: date, kept: _Model, now: datetime) -> list[observations.Observation]:
    reported = kept.book.reported
    counted = {
        "predictions": (kept.predictions, "predictions so far"),
        "outcomes": (kept.outcomes, "outcomes so far"),
        "reported": (reported.predictions, "predictions have an outcome that was reported over HTTP"),
        "contradicted": (reported.contradicted, "reported outcomes say otherwise than the tables, which count"),
        "waiting": (reported.waiting, "reported outcomes wait for a prediction that nobody has seen"),
    }
    said = [(subject, float(value), f"{value:,} {says}") for subject, (value, says) in counted.items()]
    said.append(("judged_at", now.timestamp(), f"judged at {now.isoformat()}; what became known later counts next day"))
    return [
        observations.Observation(
            day=day.isoformat(),
            model=model,
            kind="totals",
            subject=subject,
            value=value,
            threshold=None,
            verdict="ok",
            says=says,
        )
        for subject, value, says in said
    ]


def _looks_ahead(plan: FeaturePlan) -> timedelta:
    """Say how long after its decision, or its target, a label may still be open, at most."""
    if plan.ranking is not None:
        return timedelta(microseconds=plan.ranking.within_us)
    if plan.ahead is None:
        return timedelta()
    return timedelta(microseconds=plan.ahead.ahead_us + plan.ahead.lag_us)


def _answers(
    logged: list[Any], zone: ZoneInfo, *, forecasts: Collection[str] = ()
) -> dict[str, tuple[pl.DataFrame, list[Prediction]]]:
    """Lay live answers out by model as ``OutcomeBook.add_predictions`` wants them, beside what was logged."""
    import polars as pl

    from millstream.features.plan import TARGET
    from millstream.serving.records import key_text

    rows: dict[str, list[tuple[Any, ...]]] = {}
    saying: dict[str, list[Prediction]] = {}
    for each in logged:
        said = each.prediction
        if said is not None and said.bucket == "live":
            key = key_text(said.key)
            beside = said.said.get("probabilities") or said.said.get("quantiles")
            numbers = list(beside.values()) if beside else None
            about = said.at_us
            if said.model in forecasts and TARGET in said.key:
                about = to_micros(parse_instant(str(said.key[TARGET])))
            row = (each.id, key, about, said.at_us, said.value, said.version, said.degraded, said.latency_us, numbers,
                   "warnings" in said.said)  # fmt: skip
            rows.setdefault(said.model, []).append(row)
            saying.setdefault(said.model, []).append(said)
    names = ["id", "key", "at", "asked", "value", "version", "degraded", "latency_us"]
    schema = dict.fromkeys(names) | {"numbers": pl.List(pl.Float64), "odd": pl.Boolean}
    at, asked = (pl.col(each).cast(pl.Datetime("us", "UTC")) for each in ("at", "asked"))
    day, asked_day = (each.dt.convert_time_zone(zone.key).dt.date() for each in (at, asked))
    laid = {"at": at, "asked": asked, "day": day, "asked_day": asked_day}
    return {
        model: (pl.DataFrame(found, schema=schema, orient="row").with_columns(**laid), saying[model])
        for model, found in rows.items()
    }


def monitor(project: Project, *, model: str | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Judge every day not yet judged, and show the open alarms."""
    if model is not None:
        project.manifest.model(model)
    done = Watch(project).judge(model)
    return {
        "days": len({each.day for each in done}),
        "alarms": alarms_told(Person(project, actor), map(msgspec.to_builtins, alarms.opened(project.state, model))),
    }
