"""What a feature engine must do: every aggregate as the words say it, nothing of the future, every row in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.testing.asked import (
    LAST,
    STEP,
    Fact,
    Luck,
    about_targets,
    agree,
    fact,
    plan_of,
    spine,
    table,
    unlike,
    windows,
)
from millstream.testing.bench import refused, require
from millstream.testing.changing import BEGIN, END, agree_as_served, decisions, served

if TYPE_CHECKING:
    import polars as pl

    from millstream.features import FeatureEngine

_MOMENT = 1e-6 / STEP.total_seconds()
"""A microsecond, in steps."""
_DAY = 48
"""Steps of a day."""


class FeatureEngineSuite:
    """Laws of ``millstream.features.FeatureEngine``. Inherit, and define the fixture ``engine``.

    Counts, distinct, extremes, first, last and quantiles must be what the words say exactly; sums and what is made of
    them to one part in a thousand million.
    """

    def test_every_aggregate_is_what_the_words_say(self, engine: FeatureEngine) -> None:
        """Over facts that happen, become known and arrive in different orders, corrected, gone, tied and with NULL."""
        plan = plan_of(windows(None, "3h", "1d"))
        for seed in range(6):
            luck = Luck(seed)
            agree(engine, plan, table(luck.facts(16)), spine(luck.rows(5)))

    def test_windows_that_end_some_time_ago(self, engine: FeatureEngine) -> None:
        """A window with a lag takes events so much earlier, as believed now."""
        plan = plan_of(windows(None, "3h", ago="2h"))
        for seed in range(10, 13):
            luck = Luck(seed)
            agree(engine, plan, table(luck.facts(16)), spine(luck.rows(5)))

    def test_a_ttl_is_the_window_of_features_that_have_none(self, engine: FeatureEngine) -> None:
        """What is older than a view's TTL is no longer there, without any new fact."""
        plan = plan_of(windows(None), ttl="2h")
        agree(engine, plan, table([fact(1, at=0)]), spine([{"at": 3}, {"at": 4}, {"at": LAST}]))
        luck = Luck(20)
        agree(engine, plan, table(luck.facts(16)), spine(luck.rows(6)))

    def test_tables_without_time_are_always_known(self, engine: FeatureEngine) -> None:
        """Of a static table the last row of a key counts, whenever one asks."""
        of_now = {name: each for name, each in windows(None).items() if not name.startswith(("trend", "since"))}
        for seed in (30, 31):
            luck = Luck(seed)
            agree(engine, plan_of(of_now, static=True), table(luck.facts(12), static=True), spine(luck.rows(5)))

    def test_law_2_nothing_that_becomes_known_later_is_seen(self, engine: FeatureEngine) -> None:
        """Facts and corrections known after every decision change no answer, whenever they happened."""
        plan = plan_of(windows(None, "1d"))
        for seed in range(40, 43):
            luck = Luck(seed)
            facts, late, rows = luck.facts(12), luck.facts(12), luck.rows(6)
            end = max((each["at"] for each in rows if each["at"] is not None), default=0)
            later = [each | {name: end + 1 + (each[name] or 0) for name in ("k1", "k2")} for each in late]
            before = engine.point_in_time(plan, spine(rows), {"facts": table(facts)})
            after = engine.point_in_time(plan, spine(rows), {"facts": table([*facts, *later])})
            for name in plan.names:
                require(_alike(before[name], after[name]), f"{name} has seen what was known only later")

    def test_law_3_every_row_stays_in_its_place(self, engine: FeatureEngine) -> None:
        """Rows come back as they were asked, NULL keys, no instant and the same question twice among them."""
        plan, luck = plan_of(windows("1d")), Luck(50)
        facts, rows = table(luck.facts(16)), spine([*luck.rows(12), {"at": None}, {"p": None, "at": 9}, {"at": 9}] * 2)
        joined = agree(engine, plan, facts, rows)
        order = rows.sample(fraction=1.0, shuffle=True, seed=1)
        again = engine.point_in_time(plan, order, {"facts": facts})
        require(again["row"].to_list() == order["row"].to_list(), "rows that were asked in another order were moved")
        require(
            all(_alike(again.sort("row")[name], joined[name]) for name in plan.names),
            "an answer depends on which rows ask beside it",
        )

    def test_edges_of_windows_are_half_open(self, engine: FeatureEngine) -> None:
        """A fact counts from the instant it happened and is known, and no more at the instant it is as old as that."""
        plan = plan_of(windows(None, "1h", "1d"))
        for at, known in ((10, 10), (10, 11), (10, 13)):
            instants = [each + shift for each in (at, known, at + 2, at + _DAY) for shift in (-_MOMENT, 0, _MOMENT)]
            facts = [fact(1, at=at, k1=known, x=3.0), fact(2, at=at + _MOMENT, k1=at + _MOMENT, x=4.0)]
            agree(engine, plan, table(facts), spine([{"at": each} for each in instants]))

    def test_corrections_take_over_when_they_are_known(self, engine: FeatureEngine) -> None:
        """The latest known revision of a key is believed: to NULL, to another time or entity, gone, and back."""
        plan = plan_of(windows(None, "3h"))
        asks = spine([{"p": who, "at": at} for at in (1, 4, 5, 6, 9, 12, 30) for who in ("u", "v")])
        for said in (
            [fact(1, x=5.0, k1=0, k2=5)],
            [fact(1, x=None, k1=5)],
            [fact(1, at=4, k1=5)],
            [fact(1, at=-3, k1=5)],
            [fact(1, who="v", k1=5)],
            [fact(1, who=None, k1=5)],
            [fact(1, who="v", k1=5), fact(1, k1=9)],
            [fact(1, gone=1, k1=5), fact(1, x=8.0, k1=9)],
            [fact(1, x=2.0, k1=5), fact(1, x=4.0, k1=None)],
            [fact(1, x=9.0, at=0, k1=0, k2=None), fact(1, at=None, k1=6)],
        ):
            others = [fact(2, x=3.0, at=-1), fact(3, who="v", x=7.0, at=1)]
            for facts in ([fact(1), *said, *others], [*others, *reversed(said), fact(1)]):
                agree(engine, plan, table(facts), asks)

    def test_ties_are_told_apart_by_event_then_known_then_arrival(self, engine: FeatureEngine) -> None:
        """Which fact is the last, and which revision is believed, is never left to chance."""
        plan, asks = plan_of(windows(None, "3h")), spine([{"at": 3}, {"at": 5}])
        for facts in (
            [fact(1, x=1.0, word="a"), fact(2, x=2.0, word="b")],
            [fact(2, x=2.0, word="b"), fact(1, x=1.0, word="a")],
            [fact(1, x=1.0, k1=2, k2=2), fact(2, x=2.0, k1=1, k2=1), fact(3, x=3.0, at=-1, k1=3)],
            [fact(1, x=1.0), fact(1, x=2.0), fact(1, x=3.0)],
            [fact(None, x=1.0), fact(None, x=2.0), fact(None, x=2.0)],
        ):
            agree(engine, plan, table(facts), asks)

    def test_a_large_value_elsewhere_leaves_no_trace(self, engine: FeatureEngine) -> None:
        """Sums and spreads keep their digits beside facts of another entity, or gone by, that are far larger."""
        plan = plan_of({name: each for name, each in windows("3h").items() if name.endswith("x_3h")})
        near = [fact(each, at=20 + each % 5, x=1e6 + each % 3) for each in range(30)]
        far = [fact(100 + each, who="v", at=each % 25, x=1e12 * (-1) ** each + 0.1 * each) for each in range(30)]
        past = [fact(200 + each, at=each % 9, x=1e12 + 0.3 * each) for each in range(10)]
        agree(engine, plan, table([*far, *near, *past]), spine([{"at": each} for each in (21, 23, 24, 27)]))

    def test_clocks_change_and_windows_do_not(self, engine: FeatureEngine) -> None:
        """A day is 24 hours of time whatever a clock shows; parts of the calendar are those of the zone named."""
        local = "at at time zone 'Europe/Berlin'"
        more = {"hour": f"hour({local})", "weekday": f"dayofweek({local})"}
        facts = table([fact(each, at=each, x=float(each)) for each in range(0, LAST, 3)])
        asks = spine([{"at": 24 + each / 2} for each in range(8)] + [{"at": each} for each in (48, 49, 50, 51, 72)])
        joined = agree(engine, plan_of(windows("1d"), more=more), facts, asks)
        require(
            joined["said.hour"].to_list()[:6] == [1, 1, 1, 1, 3, 3],
            f"about the change the hours are {joined['said.hour'].to_list()}",
        )

    def test_features_made_of_features(self, engine: FeatureEngine) -> None:
        """Expressions over the request, windows and each other; NULL and a division by zero are NULL."""
        more = {
            "share": "one.sum_x_1d / one.count_all_ever",
            "dear": "said.share > size",
            "idle": "one.last_x_1d is null",
        }
        luck = Luck(60)
        agree(engine, plan_of(windows("1d", None), more=more), table(luck.facts(14)), spine(luck.rows(8)))

    def test_windows_about_targets(self, engine: FeatureEngine) -> None:
        """Of what is planned ahead, what counts is what was known at the decision."""
        import polars as pl

        plan = about_targets(plan_of(windows(None, "3h")))
        for seed in (70, 71, 72):
            luck = Luck(seed)
            rows = spine([each for each in luck.rows(8) if each["at"] is not None])
            ahead = pl.duration(minutes=pl.col("row") * 7 % 4 * 90)
            agree(engine, plan, table(luck.facts(14)), rows.with_columns(target_at=pl.col("decided_at") + ahead))

    def test_target_means_cannot_leak(self, engine: FeatureEngine) -> None:
        """A mean of labels is drawn toward everybody's, as known when the day began."""
        from millstream.definitions.features import Window

        for smooth in (0.0, 2.0):
            plan = plan_of(
                {"mean": Window("target", "flag", smooth=smooth), "day": Window("target", "flag", "1d", smooth=smooth)}
            )
            for seed in (80, 81):
                luck = Luck(seed)
                facts = [each for each in luck.facts(14) if not each["gone"]]
                agree(engine, plan, table(facts), spine(luck.rows(8)))

    def test_what_is_served_is_what_is_asked(self, engine: FeatureEngine) -> None:
        """As steps of time the answers are those at every instant: facts known and corrected, windows gone by."""
        from millstream.definitions.features import Window

        asks, of_labels = decisions(), {"mean": Window("target", "flag", "1d", smooth=2.0)}
        of_now = {name: each for name, each in windows(None).items() if not name.startswith(("trend", "since"))}
        for seed, plan in (
            (90, plan_of(windows(None, "3h", "1d"))),
            (91, plan_of(windows("3h", ago="2h"))),
            (92, plan_of(of_labels)),
        ):
            facts = Luck(seed).facts(16)
            lasting = [each | {"gone": 0} for each in facts] if seed == 92 else facts
            agree_as_served(engine, plan, table(lasting), asks)
        agree_as_served(engine, plan_of(of_now, static=True), table(Luck(95).facts(12), static=True), asks)
        agree_as_served(engine, plan_of(of_labels), table([]), asks)

    def test_what_is_served_of_targets_is_what_is_asked(self, engine: FeatureEngine) -> None:
        """For each instant at which plans change stand the steps over targets that hold from then on."""
        import polars as pl

        asks = decisions(10)
        ahead = pl.duration(minutes=pl.col("row") * 7 % 4 * 90)
        plan, facts = about_targets(plan_of(windows("3h"))), table(Luck(96).facts(12))
        agree_as_served(engine, plan, facts, asks.with_columns(target_at=pl.col("decided_at") + ahead))

    def test_what_is_served_fits_or_is_refused(self, engine: FeatureEngine) -> None:
        """More than the bound is not computed; the view is named."""
        plan, facts = plan_of(windows("3h")), table(Luck(97).facts(16))
        for view in (plan.views[0], about_targets(plan).views[0]):
            wrong = refused(
                lambda view=view: engine.changes(view, facts, span=served(BEGIN, END), bound_bytes=100),  # type: ignore[misc]
                why="it would take more than 100 bytes",
            )
            require(view.name in wrong.happened, wrong.happened)

    def test_no_facts_and_no_rows(self, engine: FeatureEngine) -> None:
        """Of nothing, columns of the right types; somebody nobody ever saw has counts of 0 and else NULL."""
        plan = plan_of(windows(None, "1d"), more={"double": "2 * size"})
        agree(engine, plan, table([]), spine([{"at": 3}, {"p": None, "at": None}]))
        agree(engine, plan, table([fact(1)]), spine([]))
        agree(engine, plan, table([]), spine([]))

    def test_one_entity_among_many(self, engine: FeatureEngine) -> None:
        """Hundreds of facts of one, and of each of hundreds one."""
        plan = plan_of(windows("1d"))
        many: list[Fact] = [fact(each, at=each % LAST, x=each % 7 * 0.5) for each in range(300)]
        many += [fact(1000 + each, who=f"w{each}", at=each % 40) for each in range(300)]
        agree(engine, plan, table(many), spine([{"at": 50}, {"p": "w7", "at": 60}, {"p": "w299", "at": 20}]))

    def test_a_table_that_is_not_given_is_named(self, engine: FeatureEngine) -> None:
        """What is asked of a table that is not there is refused with its name."""
        plan, other = plan_of(windows(None)), unlike(table([]), table="fact")
        wrong = refused(
            lambda: engine.point_in_time(plan, spine([{"at": 1}]), {"fact": other}), why="there is no table 'facts'"
        )
        require("facts" in wrong.happened, wrong.happened)


def _alike(one: pl.Series, other: pl.Series) -> bool:
    """Say whether answers to the same questions are the same; sums may round otherwise."""
    return all(_near(left, right) for left, right in zip(one.to_list(), other.to_list(), strict=True))


def _near(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= 1e-9 * max(1.0, abs(left))
    return bool(left == right)
