"""The suite of feature engines notices what it is for: an engine that lies in one way fails the law of that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.features import Changes, FeaturePlan, PolarsEngine, ViewPlan
from millstream.features.plan import DAY_US
from millstream.lake.frame import TableFrame
from millstream.testing import FeatureEngineSuite

Law = Callable[[FeatureEngineSuite, Any], None]
TRUE = PolarsEngine()


class Lying:
    """The true engine, given or giving something else."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        return plan

    def spine(self, spine: pl.DataFrame) -> pl.DataFrame:
        return spine

    def table(self, table: TableFrame) -> TableFrame:
        return table

    def joined(self, joined: pl.DataFrame) -> pl.DataFrame:
        return joined

    def point_in_time(self, plan: FeaturePlan, spine: pl.DataFrame, tables: Any, **words: Any) -> pl.DataFrame:
        given = {name: self.table(each) for name, each in tables.items()}
        made = TRUE.point_in_time(self.plan(plan), self.spine(spine), given, **words)
        return self.joined(made.with_columns(spine["decided_at"]) if made.height == spine.height else made)

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Changes:
        return TRUE.changes(view, table, **words)


def windows(plan: FeaturePlan, change: Callable[[Any], Any]) -> FeaturePlan:
    views = tuple(
        msgspec.structs.replace(view, features={name: change(each) for name, each in view.features.items()})
        for view in plan.views
    )
    return msgspec.structs.replace(plan, views=views)


class SeesTheFuture(Lying):
    """Takes a fact as known when it happened."""

    def table(self, table: TableFrame) -> TableFrame:
        return replace(table, known=dict.fromkeys(table.known, "at"))


class TakesLateCorrections(Lying):
    """Takes the last revision of a fact as known when the first one was."""

    def table(self, table: TableFrame) -> TableFrame:
        times = [pl.col(each).min().over("id").alias(each) for each in ("k1", "k2") if table.known]
        last = table.frame.with_row_index("__n").sort("k2", "k1", "__n").with_columns(times)
        held = last.filter(pl.col("id").is_null() | pl.struct("id").is_last_distinct()).sort("__n").drop("__n")
        return replace(table, frame=held)


class DropsNullKeys(Lying):
    """Joins as a database would."""

    def joined(self, joined: pl.DataFrame) -> pl.DataFrame:
        return joined.filter(pl.col("p").is_not_null())


class SortsByTime(Lying):
    """Leaves the rows in the order it joined them in."""

    def joined(self, joined: pl.DataFrame) -> pl.DataFrame:
        return joined.sort("decided_at", maintain_order=True)


class ClosedOnTheLeft(Lying):
    """Keeps a fact a microsecond too long."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        return windows(
            plan, lambda each: each if each.over_us is None else msgspec.structs.replace(each, over_us=each.over_us + 1)
        )


class OpenOnTheRight(Lying):
    """Does not see what happens at the very instant."""

    def spine(self, spine: pl.DataFrame) -> pl.DataFrame:
        return spine.with_columns(pl.col("decided_at") - pl.duration(microseconds=1))


class NeverExpires(Lying):
    """Knows no TTL: a feature is what it was."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        return windows(plan, lambda each: msgspec.structs.replace(each, over_us=None))


class IgnoresTheLag(Lying):
    """Takes every window up to now."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        return windows(plan, lambda each: msgspec.structs.replace(each, ago_us=0))


class KeepsWhatIsGone(Lying):
    """Takes a retraction for a fact."""

    def table(self, table: TableFrame) -> TableFrame:
        return replace(table, gone=None)


class CountsRevisions(Lying):
    """Knows no corrections: every revision is a fact."""

    def table(self, table: TableFrame) -> TableFrame:
        return replace(table, frame=table.frame.with_columns(id=pl.int_range(pl.len(), dtype=pl.Int64)))


class LastToArriveWins(Lying):
    """Reads a table from its other end, as whoever reads files in any order may."""

    def table(self, table: TableFrame) -> TableFrame:
        return replace(table, frame=table.frame.reverse())


class ZeroForNull(Lying):
    """Fills what is not there."""

    def joined(self, joined: pl.DataFrame) -> pl.DataFrame:
        return joined.with_columns(pl.col("^(one|two)\\..*$").fill_null(0))


class LocalDays(Lying):
    """Asks at the instant a clock on the wall would show."""

    def spine(self, spine: pl.DataFrame) -> pl.DataFrame:
        local = pl.col("decided_at").dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone("UTC")
        return spine.with_columns(local.alias("decided_at"))


class NaiveSums(Lying):
    """Keeps as many digits of a spread as a difference of squares would."""

    def joined(self, joined: pl.DataFrame) -> pl.DataFrame:
        if "one.std_x_3h" not in joined.columns:
            return joined
        lost = pl.col("one.mean_x_3h").abs() * 2.0**-26
        return joined.with_columns((pl.col("one.std_x_3h") / lost).round() * lost)


class TargetsOfNow(Lying):
    """Draws a target mean toward nobody's."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        return windows(plan, lambda each: msgspec.structs.replace(each, smooth=0.0) if each.smooth else each)


class NowInsteadOfTarget(Lying):
    """Takes windows at the decision, whatever they are about."""

    def plan(self, plan: FeaturePlan) -> FeaturePlan:
        views = tuple(msgspec.structs.replace(each, at="decided_at") for each in plan.views)
        return msgspec.structs.replace(plan, views=views)


def only(made: Changes, kept: Any) -> Changes:
    """Leave steps out."""
    target = None if made.target is None else made.target[kept]
    answers = {name: each.filter(pl.Series(kept)) for name, each in made.answers.items()}
    return replace(made, entity=made.entity[kept], decided=made.decided[kept], target=target, answers=answers)


class ServesNoEnd(Lying):
    """Makes a step where a fact becomes known, none where it leaves a window."""

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Changes:
        made = TRUE.changes(view, table, **words)
        known = pl.concat([table.frame["k1"], table.frame["k2"]]).to_physical()
        return only(made, np.isin(made.decided, [words["span"][0], *known]))


class ServesWhatWas(Lying):
    """Leaves out the last step of everybody."""

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Changes:
        made = TRUE.changes(view, table, **words)
        return only(made, np.append(made.entity[1:] == made.entity[:-1], False) | (made.decided == words["span"][0]))


class ServesDays(Lying):
    """Serves how long ago something was, which is wrong a moment later."""

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Changes:
        made = TRUE.changes(view, table, **words)
        aged = {name for name, each in view.features.items() if each.aged}
        days = {name: (pl.Series(made.decided) - made.answers[name]) / DAY_US for name in aged}
        return replace(made, answers={**made.answers, **days})


class ServesEverything(Lying):
    """Knows no bound."""

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Changes:
        return TRUE.changes(view, table, **words | {"bound_bytes": 1 << 40})


@pytest.mark.parametrize(
    ("engine", "law"),
    [
        (SeesTheFuture, FeatureEngineSuite.test_law_2_nothing_that_becomes_known_later_is_seen),
        (TakesLateCorrections, FeatureEngineSuite.test_law_2_nothing_that_becomes_known_later_is_seen),
        (TakesLateCorrections, FeatureEngineSuite.test_corrections_take_over_when_they_are_known),
        (DropsNullKeys, FeatureEngineSuite.test_law_3_every_row_stays_in_its_place),
        (SortsByTime, FeatureEngineSuite.test_law_3_every_row_stays_in_its_place),
        (ClosedOnTheLeft, FeatureEngineSuite.test_edges_of_windows_are_half_open),
        (OpenOnTheRight, FeatureEngineSuite.test_edges_of_windows_are_half_open),
        (NeverExpires, FeatureEngineSuite.test_a_ttl_is_the_window_of_features_that_have_none),
        (IgnoresTheLag, FeatureEngineSuite.test_windows_that_end_some_time_ago),
        (KeepsWhatIsGone, FeatureEngineSuite.test_corrections_take_over_when_they_are_known),
        (CountsRevisions, FeatureEngineSuite.test_corrections_take_over_when_they_are_known),
        (CountsRevisions, FeatureEngineSuite.test_tables_without_time_are_always_known),
        (LastToArriveWins, FeatureEngineSuite.test_ties_are_told_apart_by_event_then_known_then_arrival),
        (ZeroForNull, FeatureEngineSuite.test_no_facts_and_no_rows),
        (LocalDays, FeatureEngineSuite.test_clocks_change_and_windows_do_not),
        (NaiveSums, FeatureEngineSuite.test_a_large_value_elsewhere_leaves_no_trace),
        (TargetsOfNow, FeatureEngineSuite.test_target_means_cannot_leak),
        (NowInsteadOfTarget, FeatureEngineSuite.test_windows_about_targets),
        (SeesTheFuture, FeatureEngineSuite.test_every_aggregate_is_what_the_words_say),
        (ServesNoEnd, FeatureEngineSuite.test_what_is_served_is_what_is_asked),
        (ServesWhatWas, FeatureEngineSuite.test_what_is_served_is_what_is_asked),
        (ServesWhatWas, FeatureEngineSuite.test_what_is_served_of_targets_is_what_is_asked),
        (ServesDays, FeatureEngineSuite.test_what_is_served_is_what_is_asked),
        (ServesEverything, FeatureEngineSuite.test_what_is_served_fits_or_is_refused),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_an_engine_that_lies_is_found_out(engine: type[Lying], law: Law) -> None:
    with pytest.raises(AssertionError) as found:
        law(FeatureEngineSuite(), engine())
    assert str(found.value), "and it is said which answer is wrong"


def test_the_lies_are_what_is_found() -> None:
    FeatureEngineSuite().test_edges_of_windows_are_half_open(Lying())
