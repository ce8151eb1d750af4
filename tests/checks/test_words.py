"""What reports say, and how badly written checks are refused."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from millstream.checks import changes, compare, summary
from millstream.definitions import checks
from millstream.definitions.checks import Check
from millstream.errors import BadData, ContractBroken, DefinitionError
from tests.checks.scenes import NOW, batch_of, run_on, table_of

FRAME = pl.DataFrame(
    {"id": [1, 2, 3, 3], "air": [1.0, -2.5, None, 9.0], "dest": ["LAX", "SJU", "BQN", None], "at": [NOW] * 4}
).with_columns(pl.col("at").dt.cast_time_unit("us") - timedelta(hours=3))
AIRPORTS = batch_of(pl.DataFrame({"faa": ["LAX"], "alt": [1.0]}), name="airports", key=("faa",))

FAILING = [
    (checks.unique("id"), "things.id: 2 of 4 rows (50 %) repeat another row and are no correction of it, "
                          "for instance id = 3"),
    (checks.between("air", 0, 5), "things.air: 2 of 4 rows (50 %) outside 0 to 5; values go from -2.5 to 9"),
    (checks.holds("air > 0"), "things: air > 0: 1 of 4 rows (25 %) say false"),
    (checks.references("dest", "airports.faa"), "things.dest: 2 of 4 rows (50 %) not found in airports.faa: "
                                                "'SJU', 'BQN'"),
    (checks.nulls("air", at_most=0.1), "things.air: 25 % NULL (1 of 4 rows), above the limit of 10 %"),
    (checks.fresh(within="90m"), "things.at: the newest event is 3 h old, above the limit of 1 h 30 min"),
]  # fmt: skip
HOLDING = [
    (checks.unique("id", "dest"), "things.id,dest: no two of 4 rows alike"),
    (checks.between("air", -5, 9), "things.air: values from -2.5 to 9, within -5 to 9"),
    (checks.holds("id > 0"), "things: id > 0: true for 4 rows"),
    (checks.nulls("air", at_most=0.25), "things.air: 25 % NULL (1 of 4 rows), limit 25 %"),
    (checks.fresh(within="2d"), "things.at: the newest event is 3 h old, limit 2 d"),
]


@pytest.mark.parametrize(("check", "says", "ok"), [(*each, False) for each in FAILING] + [(*e, True) for e in HOLDING])
def test_a_result_says_what_happened_with_its_values(check: Check, says: str, ok: bool) -> None:
    result = run_on(FRAME, check, event_time="at", airports=AIRPORTS).results[0]
    assert (result.says, result.ok) == (says, ok)


@pytest.mark.parametrize("check", [each[0] for each in FAILING])
def test_an_empty_batch_is_fine_and_says_so(check: Check) -> None:
    report = run_on(FRAME.head(0), check, event_time="at", airports=AIRPORTS)
    assert report.results[0].ok and report.results[0].says.endswith(": no rows")
    assert report.quarantine.schema == {"id": pl.Int64(), "check": pl.String(), "reason": pl.String()}


def test_quarantine_gives_each_row_its_reason() -> None:
    wanted = [check for check, _ in FAILING[:4]]
    aside = run_on(FRAME, *wanted, event_time="at", airports=AIRPORTS).quarantine
    assert aside.rows() == [
        (3, "unique things.id", "another row has the same id"),
        (3, "unique things.id", "another row has the same id"),
        (2, "between things.air", "air is -2.5, outside 0 to 5"),
        (3, "between things.air", "air is 9.0, outside 0 to 5"),
        (2, "holds things: air > 0", "not true: air > 0"),
        (2, "references things.dest", "dest is SJU, not found in airports.faa"),
        (3, "references things.dest", "dest is BQN, not found in airports.faa"),
    ]


def test_a_broken_stop_keeps_the_version_from_being_used() -> None:
    report = run_on(FRAME, checks.unique("id"), checks.between("air", 0, 5))
    assert not report.ok and len(report.failed) == 2 and [each.check for each in report.stops] == ["unique"]
    with pytest.raises(ContractBroken, match=r"table 'things' version 3 breaks its contract: things.id: 2 of 4 rows"):
        report.enforce()
    run_on(FRAME, checks.between("air", 0, 5)).enforce()


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (checks.between("aair", 0, 1), "check 'between' of table 'things' names column 'aair'.*\n.*did you mean 'air'"),
        (checks.between("dest", 0, 1), "needs numbers, and dest is varchar"),
        (checks.between("air", 2, 1), "has bounds 2 and 1"),
        (checks.nulls("dst", at_most=0.1), "check 'nulls' .*'dst'.*\n.*did you mean 'dest'"),
        (checks.nulls("dest", at_most=5), "has at_most=5"),
        (checks.unique(), "check 'unique' of table 'things' names no column"),
        (checks.unique("id", "dets"), "names column 'dets'"),
        (checks.fresh(within="soon"), "has within='soon'"),
        (checks.references("dest", "airports"), "points to 'airports'"),
        (checks.references("dest", "airports.fa"), "has no column 'fa'.*\n.*did you mean 'faa'"),
        (checks.references("dest", "airports.alt"), "dest is varchar, airports.alt is double"),
        (checks.holds("air + 1"), r"'air \+ 1' is double"),
        (checks.holds("aair > 0"), "(?s)aair.*did you mean 'air'"),
        (checks.complete(against="airports", key="idd"), "names column 'idd'.*\n.*did you mean 'id'"),
        (checks.complete(against="airports", key="id"), "table 'airports' has no event time"),
    ],
)
def test_a_badly_written_check_is_refused_by_name(check: Check, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        run_on(FRAME, check, event_time="at", airports=AIRPORTS, things=batch_of(FRAME))


def test_fresh_needs_an_event_time() -> None:
    with pytest.raises(DefinitionError, match="needs an event time"):
        run_on(FRAME, checks.fresh(within="1d"))


def test_an_expression_that_cannot_be_computed_names_its_check() -> None:
    with pytest.raises(BadData, match="check 'holds' of table 'things' cannot be computed"):
        run_on(FRAME, checks.between("air", 0, 1), checks.holds("cast(dest as bigint) > 0"))


def test_a_contract_in_lines() -> None:
    table = table_of(checks.nulls("air", at_most=0.05), checks.fresh(within="60h"), event_time="at", lag="1d")
    assert summary(table, {"id": "bigint", "air": "double", "at": "timestamptz"}) == (
        "columns: id bigint, air double, at timestamptz",
        "key: id",
        "event time: at; usable 1d after it is known",
        "air: at most 5 % NULL (warn)",
        "newest event at most 60h old (warn)",
    )


def test_schemas_are_compared_column_by_column() -> None:
    before = {"id": "bigint", "wind_speed": "double", "gust": "double"}
    now = {"id": "varchar", "windspeed": "double", "gust": "double"}
    assert [each.says for each in changes(before, now)] == [  # type: ignore[arg-type]
        "wind_speed (double) is missing (did you mean 'windspeed'?)",
        "id was bigint and is varchar",
        "windspeed (double) is new",
    ]
    broken = compare("weather", before, now)  # type: ignore[arg-type]
    assert not broken.ok and broken.severity == "stop"
    wider = compare("weather", {"id": "bigint"}, {"id": "bigint", "gust": "double"})
    assert not wider.ok and wider.severity == "note" and wider.says == "weather: gust (double) is new"
    assert compare("weather", wider_schema := {"id": "bigint"}, wider_schema).ok  # type: ignore[arg-type]
