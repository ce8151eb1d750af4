"""Planted leaks of each kind are found, named with their reason, refused or said; honest features are left alone."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from millstream.definitions.splits import Time
from millstream.errors import DefinitionError, LeakError
from millstream.features.plan import FeatureColumn
from millstream.training.folds import origins
from millstream.training.leaks import find_leaks, refuse_leaks
from tests.training import made


def looked(frame=None, *, label="boolean", more=(), **words):
    model = made.manifest(**words).models["late"]
    training = made.training_set(made.frame() if frame is None else frame, label=label)
    plan = made.plan(label)
    columns = (*made.COLUMNS, *(FeatureColumn(name, dtype) for name, dtype in more))
    from dataclasses import replace

    from msgspec.structs import replace as changed

    training = replace(training, plan=changed(plan, columns=columns))
    return model, find_leaks(model, training, origins(model, training)[-1])


def test_honest_features_raise_no_alarm():
    for number in (False, True):
        for skill in (0.0, 1.5, 5.0):
            frame = made.frame(skill=skill, number=number)
            assert looked(frame, label="double" if number else "boolean")[1] == (), (number, skill)


def test_the_label_under_another_name_is_refused_with_its_reason():
    frame = made.frame()
    codes = pl.when(pl.col("label")).then(3.0).when(~pl.col("label")).then(8.0).alias("form.code")
    model, found = looked(frame.with_columns(codes), more=[("form.code", "double")])
    assert [(each.kind, each.features, each.refused) for each in found] == [("disguise", ("form.code",), True)]
    with pytest.raises(LeakError, match=r"feature form\.code: it is the label under another name") as said:
        refuse_leaks(model, found)
    assert "vouched=['form.code']" in said.value.do


def test_a_feature_that_only_nearly_tells_the_label_is_said_and_not_refused():
    frame = made.frame()
    rng = np.random.default_rng(1)
    noisy = frame["label"].cast(pl.Float64).fill_null(0) + rng.normal(scale=0.15, size=frame.height)
    model, found = looked(frame.with_columns(noisy.alias("form.near")), more=[("form.near", "double")])
    assert [(each.kind, each.refused) for each in found] == [("disguise", False)]
    refuse_leaks(model, found)


def test_somebody_can_vouch_for_a_feature_and_it_is_still_said():
    frame = made.frame().with_columns(pl.col("label").cast(pl.Int64).alias("form.code"))
    model, found = looked(frame, more=[("form.code", "bigint")], vouched=["form.code"])
    assert [(each.kind, each.refused) for each in found] == [("disguise", False)]
    refuse_leaks(model, found)
    with pytest.raises(DefinitionError, match=r"vouches for .form\.cod.") as said:
        looked(frame, vouched=["form.cod"])
    assert "form.delay" in str(said.value) or "form.carrier" in str(said.value)


def test_a_number_in_another_unit_is_refused_and_a_formula_said():
    frame = made.frame(number=True)
    cents = frame.with_columns((pl.col("label") * 100).alias("form.cents"))
    _, found = looked(cents, label="double", more=[("form.cents", "double")])
    assert [(each.kind, each.refused) for each in found] == [("disguise", True)]
    assert "the label in another unit" in found[0].says
    formula = frame.with_columns((pl.col("label") * 2 - 7).alias("form.km"))
    _, found = looked(formula, label="double", more=[("form.km", "double")])
    assert [(each.kind, each.refused) for each in found] == [("disguise", False)]


@pytest.mark.parametrize(
    ("sign", "other"), [("+", lambda y, a: y - a), ("-", lambda y, a: a - y), ("*", lambda y, a: y / a)]
)
def test_two_parts_of_a_number_are_found(sign, other):
    frame = made.frame(number=True)
    part = np.random.default_rng(2).uniform(50, 90, frame.height)
    label = frame["label"].to_numpy()
    frame = frame.with_columns(pl.Series("form.one", part), pl.Series("form.two", other(label, part)))
    _, found = looked(frame, label="double", more=[("form.one", "double"), ("form.two", "double")])
    assert [(each.kind, each.features, each.refused) for each in found] == [("parts", ("form.one", "form.two"), True)]
    assert f"form.one {sign} form.two is the label" in found[0].says


def test_two_parts_in_units_of_their_own_are_said():
    frame = made.frame(number=True)
    part = np.random.default_rng(2).uniform(50, 90, frame.height)
    two = np.round((frame["label"].to_numpy() * 40 - part) / 60, 3)  # one in minutes, one in hours
    two[::7] = np.nan
    frame = frame.with_columns(
        pl.col("label") * 40, pl.Series("form.one", part), pl.Series("form.two", two).fill_nan(None)
    )
    _, found = looked(frame, label="double", more=[("form.one", "double"), ("form.two", "double")])
    assert [(each.kind, each.features, each.refused) for each in found] == [("parts", ("form.one", "form.two"), False)]
    assert "in a unit of its own, explains 99." in found[0].says


def test_what_the_last_value_foretells_is_no_sum_of_parts():
    frame = made.frame(number=True)
    rng = np.random.default_rng(5)
    level = frame["label"].to_numpy()
    last = level + rng.normal(scale=0.04 * np.nanstd(level), size=frame.height)
    trend = level - last + rng.normal(scale=0.02 * np.nanstd(level), size=frame.height)  # helps, and is not the rest
    frame = frame.with_columns(pl.Series("form.last", last), pl.Series("form.trend", trend)).fill_nan(None)
    frame = frame.with_columns(
        pl.lit(None, dtype=pl.Float64).alias("form.never"),
        pl.Series("form.huge", rng.choice([1e300, -1e300, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], frame.height)),
    )
    more = [(f"form.{name}", "double") for name in ("last", "trend", "never", "huge")]
    assert looked(frame, label="double", more=more)[1] == ()


@pytest.mark.parametrize("digits", [0, 2])
def test_two_rounded_parts_of_a_number_are_said_and_honest_ones_are_not(digits):
    frame = made.frame(number=True)
    part = np.random.default_rng(2).uniform(50, 90, frame.height)
    left = np.round(frame["label"].to_numpy() * 100 - part, digits)
    frame = frame.with_columns(pl.col("label") * 100, pl.Series("form.one", np.round(part, digits)))
    parts = frame.with_columns(pl.Series("form.two", left))
    more = [("form.one", "double"), ("form.two", "double")]
    _, found = looked(parts, label="double", more=more)
    assert [(each.kind, each.features, each.refused) for each in found] == [("parts", ("form.one", "form.two"), False)]
    assert "form.one + form.two explains" in found[0].says
    rough = left + np.random.default_rng(3).normal(scale=0.2 * np.nanstd(left), size=frame.height)
    assert looked(frame.with_columns(pl.Series("form.two", rough)), label="double", more=more)[1] == ()


def test_two_parts_of_what_a_yes_is_made_of_are_found():
    frame = made.frame()
    rng = np.random.default_rng(3)
    minutes = np.where(
        frame["label"].fill_null(False).to_numpy(), rng.uniform(15.1, 60, 2000), rng.uniform(-40, 15, 2000)
    )
    departed = rng.normal(scale=80, size=2000)
    frame = frame.with_columns(pl.Series("form.dep", departed), pl.Series("form.gained", minutes - departed))
    _, found = looked(frame, more=[("form.dep", "double"), ("form.gained", "double")])
    assert [(each.kind, each.refused) for each in found] == [("parts", True)]
    assert "form.dep + form.gained tells the label without any mistake" in found[0].says


def grouped(rows=4000, groups=20, seed=4):
    frame = made.frame(rows, seed=seed)
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, rows)
    label = rng.random(rows) < 0.1 + 0.6 * group / groups
    return frame.with_columns(pl.Series("label", label), pl.Series("group", group))


def test_a_statistic_over_the_whole_period_is_refused():
    frame = grouped().with_columns(pl.col("label").mean().over("group").alias("form.share"))
    _, found = looked(frame, more=[("form.share", "double")])
    assert [(each.kind, each.features, each.refused) for each in found] == [("group", ("form.share",), True)]
    assert "those of the test period included" in found[0].says
    percent = frame.with_columns(pl.col("form.share") * 100)
    assert looked(percent, more=[("form.share", "double")])[1][0].kind == "group"


def test_a_statistic_of_an_earlier_period_is_honest():
    for seed in range(6):
        frame, before = grouped(seed=seed), grouped(seed=seed + 100)
        earlier = before.group_by("group").agg(pl.col("label").mean().alias("form.share"))
        joined = frame.join(earlier, on="group", how="left", maintain_order="left")
        assert looked(joined, more=[("form.share", "double")])[1] == ()


def test_rows_on_both_sides_of_the_split_are_said():
    frame = made.frame()
    copies = frame.tail(200).filter(pl.col("label").is_not_null()).with_columns(
        pl.col("decided_at") - timedelta(days=6), pl.col("label_known_at") - timedelta(days=6),
        ("copy" + pl.col("flight_id")).alias("flight_id"),
    )  # fmt: skip
    both = pl.concat([frame, copies]).sort("decided_at", "flight_id")
    _, found = looked(both, split=Time(test="4d", folds=1))
    assert [(each.kind, each.refused) for each in found] == [("duplicates", False)]
    assert "have a twin among the rows learnt from" in found[0].says
    few = frame.with_columns(pl.lit(1.0).alias("form.delay"), (pl.col("distance") // 1500).alias("distance"))
    assert looked(few)[1] == ()  # alike by chance, as rows of few different values are


def test_a_model_without_labels_has_nothing_to_leak():
    from dataclasses import replace

    from msgspec.structs import replace as changed

    model = made.manifest().models["late"]
    training = made.training_set()
    bare = replace(training, plan=changed(training.plan, label=None))
    assert find_leaks(model, bare, origins(model, training)[-1]) == ()


@pytest.mark.parametrize(("early", "sure"), [(1.0, True), (0.1, False), (0.0, None)])
def test_a_window_that_holds_the_rows_own_label_is_refused(early, sure):
    from dataclasses import replace

    from msgspec.structs import replace as changed

    from millstream.expressions import parse
    from millstream.features.plan import ViewPlan, WindowPlan

    model = made.manifest().models["late"]
    training = made.training_set(made.frame())
    own = parse("label", {"label": "boolean"}, where="label")
    windows = {
        "share": WindowPlan("mean", own, None, "double"),
        "before": WindowPlan("mean", own, None, "double", ago_us=1),
        "rows": WindowPlan("count", None, None, "bigint"),
    }
    views = [
        ViewPlan(name, table, ("shop",), ("varchar",), keys, windows)
        for name, table, keys in (
            ("mine", training.plan.rows_table, ("shop",)),
            ("role", training.plan.rows_table, ("other_shop",)),
            ("else", "others", ("shop",)),
        )
    ]
    plan = changed(training.plan, views=tuple(views), label=own)
    early_rows = pl.int_range(pl.len()) < early * pl.len()
    known = pl.when(early_rows & pl.col("label_known_at").is_not_null()).then("decided_at").otherwise("label_known_at")
    keys = (pl.lit("a").alias("shop"), pl.lit("b").alias("other_shop"))
    training = replace(training, plan=plan, frame=training.frame.with_columns(known.alias("label_known_at"), *keys))
    found = find_leaks(model, training, origins(model, training)[-1])
    assert [(each.features, each.refused) for each in found] == ([] if sure is None else [(("mine.share",), sure)])
    if sure:
        with pytest.raises(LeakError, match="the row's own label is among those in its window"):
            refuse_leaks(model, found)
