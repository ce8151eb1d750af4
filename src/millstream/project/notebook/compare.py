"""Two recipes on the same rows: every metric with its range, and how the definitions differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.tasks import HORIZON, WITHOUT_LABEL
from millstream.errors import UserError
from millstream.metrics.registry import METRICS, metric
from millstream.project.notebook import show, source
from millstream.project.notebook.runs import Run, find
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.training import Backtest, TrainingSet
    from millstream.training.segments import Beside


@dataclass(frozen=True)
class Compared:
    """How one run does beside another.

    Parameters
    ----------
    run, other
        Their names.
    frame
        One row a metric: both values on the same rows, how much better the run is (negative is worse) with a 95 %
        range from drawing whole days, and the share of draws in which it is worse.
    diff
        How the definitions differ, as ``diff -u`` shows it; empty when they say the same.
    says
        The goal metric in words.
    segments
        One row a segment of the definition: the goal metric of both, how much better the run is with a 99 % range, rows
        and days, and who is surely better, corrected for how many segments there are; empty without segments.
    horizons
        Under a horizon the goal metric of both by how many ticks ahead the target lies; else None.
    lift
        One row a view: what it was worth to each when it was trained; None where neither was weighed.
    """

    run: str
    other: str
    frame: pl.DataFrame
    diff: str
    says: str
    segments: pl.DataFrame
    horizons: pl.DataFrame | None = None
    lift: pl.DataFrame | None = None

    def __repr__(self) -> str:
        parts = [show.as_text(each) for each in self._parts]
        return "\n".join([self._title, self.says, show.as_text(self.frame), *parts, self.diff or self._same])

    def _repr_html_(self) -> str:
        diff = f"<pre>{escape(self.diff)}</pre>" if self.diff else self._same
        parts = [show.table(each) for each in self._parts]
        return show.block(self._title, self.says, show.table(self.frame), _picture(self.frame), *parts, diff)

    @property
    def _parts(self) -> list[pl.DataFrame]:
        return [each for each in (self.segments, self.horizons, self.lift) if each is not None and each.height]

    @property
    def _title(self) -> str:
        return f"{self.run} beside {self.other}, both replayed on the same rows"

    @property
    def _same(self) -> str:
        return "the definitions say the same"


def compared(project: Project, run: Run | int | str, other: Run | int | str) -> Compared:
    """Replay both recipes at the same cuts of the same rows and judge the one beside the other.

    Neither answers a row it has learnt from, whenever the two were trained: at each cut both are fitted on what was
    known then.

    Raises
    ------
    UserError
        When the two predict different rows or labels, so that nothing can be compared.
    """
    from millstream.training import backtest, judge

    ours = find(project, run)
    theirs = find(project, other, model=ours.model)
    for each in (ours, theirs):
        if each.record.logged:
            raise UserError(
                f"{each.name} was fitted outside Millstream, so its recipe cannot be replayed",
                expected="two recipes; run.verdict has how it did beside the simple rule and the champion",
            )
    first, second = (_rows(project, each, like=ours) for each in (ours, theirs))
    _refuse_other_rows(ours, theirs, first, second)
    rival = theirs.definition.but(
        name=ours.model, split=ours.definition.split, metrics=ours.definition.metrics, goal=ours.goal
    )
    tested = backtest(ours.definition, first, tell=project.progress)
    project.progress(f"replaying {theirs.name}")
    against = backtest(rival, second, tell=project.progress)
    tested = _beside(tested, against, name=theirs.name)
    rows: list[tuple[Any, ...]] = []
    says, parts = "", _segments((), ours.name, theirs.name)
    for name in tested.report.metrics:
        values = [tested.report.pooled[each].get(name) for each in ("candidate", "champion")]
        report = msgspec.structs.replace(tested.report, goal=name)
        signed = name in METRICS and METRICS[name].signed  # best at 0: neither more nor less of it is better
        verdict = None if signed else judge(dataclasses.replace(tested, report=report))
        judged = verdict.comparisons if verdict else ()
        if verdict is not None and name == ours.goal:
            parts = _segments(verdict.segments, ours.name, theirs.name)
        if not judged:
            rows.append((name, *values, None, None, None, None))
            continue
        said = judged[-1]
        rows.append((name, *values, said.gain, said.low, said.high, said.probability_worse))
        says = said.says if name == ours.goal else says
    if ours.record.task in WITHOUT_LABEL:
        says = judge(tested).says
    columns = ("metric", ours.name, theirs.name, "gain", "low", "high", "probability worse")
    before, after = (source.told(each.manifest, each.model) for each in (theirs, ours))
    return Compared(
        run=ours.name,
        other=theirs.name,
        frame=show.records(columns, rows),
        diff=source.difference(before, after, old=theirs.name, new=ours.name),
        says=says,
        segments=parts,
        horizons=_by_horizon(tested, ours.name, theirs.name),
        lift=_lifts(ours, theirs),
    )


def _lifts(ours: Run, theirs: Run) -> pl.DataFrame | None:
    """Lay out what views are worth to each, those worth most to the first on top."""
    told = [each.record.lift for each in (ours, theirs)]
    if all(each is None for each in told):
        return None
    gains = [{view.name: view.gain for view in each.views} if each is not None else {} for each in told]
    names = dict.fromkeys(name for each in gains for name in each)
    rows = [(name, *(each.get(name) for each in gains)) for name in names]
    return show.records(("view", f"worth to {ours.name}", f"worth to {theirs.name}"), rows)


def _segments(found: Sequence[Beside], run: str, other: str) -> pl.DataFrame:
    """Lay the segments out, those the run is surely worse for first; distances of a horizon have their own."""
    columns = ("segment", run, other, "gain", "low", "high", "rows", "days", "in short")
    rows = [
        (each.named, each.candidate, each.other, each.gain, each.low, each.high, each.rows, each.days, each.standing)
        for each in found
        if each.against == other and each.column != HORIZON
    ]
    return show.records(columns, rows)


def _by_horizon(tested: Backtest, ours: str, theirs: str) -> pl.DataFrame | None:
    """Return the goal metric of both on the targets so many ticks ahead; None without a horizon."""
    parts = [each for each in tested.segments if each.column == HORIZON]
    if not parts or tested.champion is None:
        return None
    goal = metric(tested.report.goal, levels=tested.report.levels, scale=tested.report.scale)
    sides = (tested.candidate, tested.champion)
    rows = [
        (int(part.value or 0), *(goal.measure(tested.label[part.rows], each[part.rows]) for each in sides))
        for part in parts
    ]
    return show.records(("horizon", ours, theirs), rows)


def _rows(project: Project, run: Run, *, like: Run) -> TrainingSet:
    """Build the rows of a run at the table versions and the end of another, out of what is kept."""
    from millstream.project.door import as_if
    from millstream.project.models.learn import plan
    from millstream.project.notebook.rows import keep

    then = as_if(project, _with_views(project.manifest, run.manifest, run.model))
    end = parse_instant(like.record.until) if like.record.until else None
    return keep(then, plan(then, run.model), until=end, pins=like.pins)[0]


def _with_views(now: Manifest, then: Manifest, name: str) -> Manifest:
    """Return today's definitions with a model and its views as they were."""
    model = then.model(name)
    views = {**now.views, **{role.view: then.view(role.view) for role in then.roles(model)}}
    return gather([*now.tables.values(), *views.values(), *{**now.models, name: model}.values()])


def _beside(tested: Backtest, against: Backtest, *, name: str) -> Backtest:
    """Put another recipe's answers where a champion's would stand."""
    pooled = {
        **tested.report.pooled,
        "champion": against.report.pooled["candidate"],
        "candidate_beside_champion": tested.report.pooled["candidate"],
    }
    report = msgspec.structs.replace(tested.report, champion=name, pooled=pooled)
    answers = against.label if tested.report.task == "clusters" else against.candidate
    return dataclasses.replace(tested, report=report, champion=answers)


def _refuse_other_rows(ours: Run, theirs: Run, first: TrainingSet, second: TrainingSet) -> None:
    columns = [*first.plan.row_key, "decided_at", *(each for each in ("label",) if each in first.frame.columns)]
    missing = [each for each in columns if each not in second.frame.columns]
    if missing or not first.frame.select(columns).equals(second.frame.select(columns), null_equal=True):
        raise UserError(
            f"{ours.name} and {theirs.name} do not predict the same rows or labels, so no metric compares them",
            expected="two recipes with the same rows= and label=",
        )


def _picture(frame: pl.DataFrame) -> str:
    """Draw the range of each gain around zero, as wide as its own range: right of the line is better."""
    drawn = frame.drop_nulls(["gain", "low", "high"])
    rows = []
    for place, each in enumerate(drawn.iter_rows(named=True)):
        reach = max(abs(each["low"]), abs(each["high"]), 1e-12) * 1.1
        low, gain, high = (260 + 120 * each[name] / reach for name in ("low", "gain", "high"))
        y = 16 + 22 * place
        colour = "#2a7d4f" if each["low"] > 0 else "#b3372f" if each["high"] < 0 else "#777"
        rows.append(
            f"<text x='0' y='{y + 4}' font-size='12'>{escape(each['metric'])}</text>"
            f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{y}' y2='{y}' stroke='{colour}' stroke-width='3'/>"
            f"<circle cx='{gain:.1f}' cy='{y}' r='4' fill='{colour}'/>"
        )
    if not rows:
        return ""
    tall = 22 * len(rows) + 24
    return (
        f"<svg role='img' aria-label='gain of each metric with its range; right of the line is better' width='420' "
        f"height='{tall}' fill='currentColor'><line x1='260' x2='260' y1='2' y2='{tall - 16}' stroke='currentColor' "
        f"stroke-dasharray='3 3'/>{''.join(rows)}<text x='268' y='{tall - 2}' font-size='11'>better</text>"
        f"<text x='218' y='{tall - 2}' font-size='11'>worse</text></svg>"
    )
