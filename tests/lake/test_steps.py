"""Tables made by a step: user code in a process of its own, stored versions, nothing half done."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.definitions.table import Table
from millstream.errors import BadData, ContractBroken, DefinitionError, MillstreamError, NotFound, UserError
from millstream.lake.derived import steps
from millstream.lake.derived.steps import Bench, StepFailed, run_step
from millstream.lake.faults import POINTS, VARIABLE
from tests.awaited import until
from tests.lake.house import House, movements, planes

REPOSITORY = Path(__file__).parents[2]
COUNT = """
import polars as pl
from rules import KEEP

def count(movements: pl.DataFrame) -> pl.DataFrame:
    print("counting", movements.height)
    days = pl.col("leaves").dt.truncate("1d").alias("day")
    made = movements.group_by(days).agg(flights=pl.len(), delay=pl.col("delay").mean()).sort("day")
    return made.select("day", *KEEP).with_columns(odd=pl.lit(float("nan")))
"""
SHELL = "set -e; test -s $MILLSTREAM_IN_planes; echo tail,seats > $MILLSTREAM_OUT; echo N7,{seats} >> $MILLSTREAM_OUT"


def daily(step: object = "made:count", **words: object) -> Table:
    said = {"of": ["movements"], "key": "day", "event_time": "day", "known_at": "day + interval '2 days'"}
    return Table("daily", step=step, **(said | words))  # type: ignore[arg-type]


def cheap(step: object = ("sh", "made.sh"), **words: object) -> Table:
    return Table("cheap", step=step, **({"of": ["planes"], "key": "tail"} | words))  # type: ignore[arg-type]


@pytest.fixture
def steady(house: House) -> House:
    """A project with one day of rows, a function and a script."""
    house.publish(0)
    (house.root / "made.py").write_text(COUNT)
    (house.root / "rules.py").write_text('KEEP = ["flights", "delay"]\n')
    (house.root / "made.sh").write_text(SHELL.format(seats=100))
    return house


def of(lake: object, *, actor: str = "ann") -> list[tuple[str, int]]:
    return [(each.table, each.version) for each in lake.refresh(actor=actor)]  # type: ignore[attr-defined]


def seats(house: House, number: int) -> None:
    (house.root / "files/planes.csv").write_text(f"tail,seats\nN1,{number}\n")


def test_a_function_makes_a_stored_version_once_for_what_it_rests_on(steady: House) -> None:
    lake = steady.lake([movements(), daily()])
    assert of(lake) == [("movements", 0), ("daily", 0)]
    assert of(lake) == [] and of(steady.lake([movements(), daily()])) == []
    rows = lake.read("daily").frame
    assert rows["flights"].to_list() == [20] and rows["odd"].to_list() == [None], "NaN is NULL at the door"
    made = lake.head("daily")
    assert made.kind == "made" and made.inputs == {"movements": 0} and made.bytes_copied > 0
    assert made.making is not None and set(made.making.code) == {"made.py", "rules.py"}
    (told,) = steady.ledger.rows(act="table.version", subject="daily")
    assert told.detail["code"] == made.making.code and told.detail["inputs"] == {"movements": 0}
    assert (steady.places.state / "steps/daily.log").read_text() == "counting 20\n"
    steady.publish(1)
    assert of(lake) == [("movements", 1), ("daily", 1)]
    (steady.root / "rules.py").write_text('KEEP = ["flights", "delay"]  # a helper of the step\n')
    assert of(lake) == [("daily", 2)] and lake.head("daily").inputs == {"movements": 1}
    assert lake.read("daily", version=0).frame.equals(rows)
    assert lake.query("select sum(flights) as n from daily")[0].item() == 40
    assert all(each.ok for each in lake.verify())
    assert not (steady.places.state / "steps/daily").exists(), "no scratch is left"


def test_a_changed_definition_may_change_columns_and_older_versions_stay_readable(steady: House) -> None:
    lake = steady.lake([movements(), daily()])
    of(lake)
    (steady.root / "rules.py").write_text('KEEP = ["flights"]\n')
    with pytest.raises(BadData, match="'delay' is missing"):
        of(lake)
    assert lake.head("daily").version == 0
    other = steady.lake([movements(), daily(lag="1h")])
    assert of(other)[-1:] == [("daily", 1)]
    assert other.read("daily").frame.columns[:3] == ["day", "flights", "odd"]
    assert "delay" in other.read("daily", version=0).frame.columns
    assert all(each.ok for each in other.verify())


def test_a_command_reads_files_and_writes_one(steady: House) -> None:
    lake = steady.lake([planes(), cheap()])
    assert of(lake) == [("planes", 0), ("cheap", 0)]
    assert lake.read("cheap").frame.to_dicts() == [{"tail": "N7", "seats": 100}]
    assert of(lake) == []
    (steady.root / "made.sh").write_text(SHELL.format(seats=7))
    assert of(lake) == [("cheap", 1)]
    assert lake.read("cheap").frame["seats"].to_list() == [7]
    python = "import polars, os; polars.read_parquet(os.environ['MILLSTREAM_IN_planes']).write_parquet(OUT)"
    (steady.root / "made.pq.py").write_text(python.replace("OUT", "os.environ['MILLSTREAM_OUT']"))
    other = steady.lake([planes(), cheap([sys.executable, "made.pq.py"])])
    assert of(other) == [("cheap", 2)]
    assert other.read("cheap").frame["tail"].to_list() == ["N1", "N2"]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["seats", "script", "same", "comment"]), min_size=1, max_size=4))
def test_property_a_new_version_iff_something_it_rests_on_changed(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    house = House(tmp_path_factory.mktemp("steps") / "project", tables=[planes(), cheap()])
    script, state = house.root / "made.sh", {"seats": 1, "script": 1}
    seen: list[tuple[int, int]] = []
    for act in ["same", *acts]:
        if act in state:
            state[act] += 1
        seats(house, state["seats"])
        script.write_text(SHELL.format(seats=state["script"]))
        lake = house.lake([planes(), cheap(description=act)])  # what is said for people changes no row
        now = (state["seats"], state["script"])
        assert ("cheap" in dict(of(lake))) == (not seen or seen[-1] != now)
        seen.append(now)
        assert of(lake) == [] and lake.read("cheap").frame["seats"].to_list() == [state["script"]]
    assert len(lake.history("cheap")) == len(set(seen))
    house.state.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('no such day')", r"ValueError: no such day \(made.py, line 3"),
        ("return None", "gave a builtins.NoneType"),
        ("return planes.lazy()", "gave a polars.*LazyFrame"),
        ("return planes.select(x=pl.Series([object()] * 2, dtype=pl.Object))", "holds Python objects"),
        ("return planes.select(x=pl.struct('tail'))", "struct|Struct"),
        ("return planes.select(at=pl.lit('2013-01-01').str.to_datetime())", "zone"),
        ("return planes.select('seats')", "key of table 'cheap' names 'tail'"),
        ("return planes.select(pl.lit(1).repeat_by(9).explode().alias('tail'), w=pl.duration(days=1))", "length of"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "ended with code 3, and printed nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, as the kernel does when memory"),
        ("import time\n    while True: print('x' * 1000, end='')", "printed more than 64 MB"),
    ],
)  # fmt: skip
def test_a_step_that_goes_wrong_names_table_and_log_and_leaves_what_was(
    steady: House, monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    (steady.root / "made.py").write_text(f"import polars as pl\ndef go(planes):\n    {body}\n")
    lake = steady.lake([planes(), cheap("made:go"), Table("after", of="cheap", sql="select * from cheap")])
    stopped: dict[str, MillstreamError] = {}
    lake.refresh(actor="ann", stopped=stopped)
    assert set(stopped) == {"cheap", "after"} and "'cheap'" in str(stopped["after"])
    assert stopped["cheap"].exit_code == 2
    with pytest.raises(MillstreamError, match=says):
        raise stopped["cheap"]
    assert "cheap" in str(stopped["cheap"])
    assert set(lake.heads()) == {"planes"} and not (steady.places.lake / "cheap").exists()
    assert steady.acts("table.failed") == 1
    with pytest.raises(UserError, match="failed before, and nothing changed since"):
        lake.refresh(actor="system:loop")
    assert steady.acts("table.failed") == 1, "the loop does not try in vain"


def test_the_loop_tries_again_when_the_code_was_mended(steady: House) -> None:
    lake = steady.lake([planes(), cheap(), Table("after", of="cheap", sql="select * from cheap")])
    (steady.root / "made.sh").write_text("exit 1")
    for actor in ("ann", "system:loop"):
        with pytest.raises(UserError):
            of(lake, actor=actor)
    (steady.root / "made.sh").write_text(SHELL.format(seats=1))
    assert of(lake, actor="system:loop") == [("cheap", 0), ("after", 0)]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo tried; exit 4", "ended with code 4: tried"),
        ("true", "wrote nothing"),
        ("echo PAR1rubbish > $MILLSTREAM_OUT", "cannot be read"),
        ("echo tail > $MILLSTREAM_OUT", "holds no rows|empty"),
    ],
)
def test_a_command_that_goes_wrong(steady: House, script: str, says: str) -> None:
    (steady.root / "made.sh").write_text(script)
    with pytest.raises(MillstreamError, match=says) as wrong:
        steady.lake([planes(), cheap()]).refresh(actor="ann")
    assert ".millstream/steps/cheap.log" in str(wrong.value) or "holds no rows" in str(wrong.value)


def test_a_program_that_is_not_there(steady: House) -> None:
    with pytest.raises(UserError, match="no-such-program cannot be started"):
        steady.lake([planes(), cheap(["no-such-program", "x"])]).refresh(actor="ann")


def test_a_step_that_hangs_is_ended_with_its_children(steady: House) -> None:
    (steady.root / "made.sh").write_text("sleep 1000 & echo $! > child; wait")
    with pytest.raises(UserError, match="not done after 300ms and was ended; timeout= on the table"):
        steady.lake([planes(), cheap(timeout="300ms")]).refresh(actor="ann")
    assert until(lambda: gone(int((steady.root / "child").read_text())), within_s=20.0)


def test_a_step_that_holds_too_much_memory_or_gives_too_much(steady: House, tmp_path: Path) -> None:
    small = Bench(root=steady.root, folder=tmp_path / "bench", memory_bytes=300_000_000)
    (steady.root / "made.py").write_text(
        "import polars as pl, time\n"
        "def hold(planes):\n    kept = bytearray(400_000_000)\n    time.sleep(60)\n"
        "def give(planes):\n    return pl.select(x=pl.repeat(1, 20_000_000))\n"
    )
    for name, says in (("hold", "held 0.. GB of memory, more than the 0.3 GB"), ("give", "20,000,000 values")):
        with pytest.raises(StepFailed) as wrong:
            run_step(cheap(f"made:{name}"), {"planes": pl.DataFrame({"a": [1]})}, at=small, expected=None)
        with pytest.raises(MillstreamError, match=says):
            raise wrong.value.error
    assert steps.bench(steady.root, tmp_path).memory_bytes > 300_000_000


def child(root: Path, *, fault: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.lake.step_child", str(root)]
    environment = os.environ | {VARIABLE: fault}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("point", ["lake.intended", "lake.committed", "lake.synced", "lake.registering"])
def test_law_6_a_kill_at_any_step_of_a_making(steady: House, point: str) -> None:
    lake = steady.lake([planes(), cheap()])
    of(lake)
    (steady.root / "made.sh").write_text(SHELL.format(seats=7))
    process = child(steady.root, fault=point)
    assert process.communicate()[1] == b"" and process.returncode == -signal.SIGKILL
    committed = POINTS.index(point) >= POINTS.index("lake.committed")
    lake = steady.lake([planes(), cheap()])
    assert lake.head("cheap").version == (1 if committed else 0)
    assert lake.read("cheap").frame["seats"].to_list() == [7 if committed else 100]
    assert of(lake) == ([] if committed else [("cheap", 1)])
    assert lake.read("cheap").frame["seats"].to_list() == [7]
    assert all(each.ok for each in [*lake.recover(), *lake.verify()]) and steady.ledger.verify().ok
    assert [each.version for each in lake.history("cheap")] == [0, 1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_step_dies_with_who_started_it(steady: House, how: signal.Signals) -> None:
    (steady.root / "made.sh").write_text("sleep 1000 & echo $! > child.new; mv child.new child; wait")
    process, told = child(steady.root), steady.root / "child"
    try:
        assert until(told.exists, within_s=20.0)
        number = int(told.read_text())
        process.send_signal(how)
        assert process.communicate()[1] == b""
        assert until(lambda: gone(number), within_s=20.0)
    finally:
        process.kill()
        process.wait()
    (steady.root / "made.sh").write_text(SHELL.format(seats=7))
    assert of(steady.lake([planes(), cheap()])) == [("cheap", 0)]


def gone(number: int) -> bool:
    """Say whether a process has ended, buried or not."""
    stat = Path(f"/proc/{number}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_known_at_must_be_declared_unless_inputs_are_static(steady: House) -> None:
    with pytest.raises(DefinitionError, match="made by a step of movements"):
        steady.lake([movements(), daily(known_at=None)]).refresh(actor="ann")
    assert not list((steady.places.state / "steps").glob("*.log")), "nothing ran"
    lake = steady.lake([planes(), cheap(), movements(), daily()])
    of(lake)
    assert lake.known("cheap") == {} and set(lake.known("daily")) == {"day", "flights", "delay", "odd"}
    assert any("taken to be known as declared" in each for each in lake.assumptions("daily"))


def test_what_is_in_quarantine_is_not_read_and_counts_as_a_change(steady: House) -> None:
    (steady.root / "made.py").write_text("def go(planes):\n    return planes\n")
    lake = steady.lake([planes(), cheap("made:go")])
    of(lake)
    bad = pl.DataFrame({"tail": ["N2"], "check": ["nulls"], "reason": ["no seats"]})
    with steady.state.transact() as tx:
        lake.quarantine("planes", 0, bad, tx=tx)
    assert of(lake) == [("cheap", 1)]
    assert lake.read("cheap").frame["tail"].to_list() == ["N1"]
    assert lake.head("cheap").making.masked == {"planes": 1}  # type: ignore[union-attr]


def test_a_contract_stops_a_step_before_it_runs(steady: House) -> None:
    def refuse(name: str) -> None:
        raise ContractBroken(f"{name} broke its contract")

    lake, stopped = steady.lake([planes(), cheap()]), {}
    lake.refresh(actor="ann", ready=refuse, stopped=stopped)
    assert isinstance(stopped["cheap"], ContractBroken) and set(lake.heads()) == {"planes"}
    assert not (steady.places.state / "steps").exists()


def test_code_that_is_edited_while_it_runs_made_nothing(steady: House) -> None:
    (steady.root / "made.py").write_text(
        "def go(planes):\n    open('made.py', 'a').write('# more\\n')\n    return planes\n"
    )
    with pytest.raises(UserError, match=r"made\.py was changed while the step"):
        steady.lake([planes(), cheap("made:go")]).refresh(actor="ann")


def test_a_table_does_not_change_how_it_comes_about(steady: House) -> None:
    of(steady.lake([planes(), cheap()]))
    with pytest.raises(DefinitionError, match="'cheap' has versions that are made"):
        of(steady.lake([planes(), Table("cheap", of="planes", sql="select * from planes")]))


def test_a_function_beside_the_definitions_is_named_by_its_file(steady: House, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def keep(planes):\n    return planes\n"
    (steady.root / "own.py").write_text(f"from tests.lake.test_steps import cheap\n{text}table = cheap(keep)\n")
    monkeypatch.syspath_prepend(str(steady.root))
    assert runpy.run_path(str(steady.root / "own.py"))["table"].step == "own:keep"


def test_the_page_runs() -> None:
    page = (REPOSITORY / "docs/lake.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > 3
    for each in blocks:
        exec(compile(each, "docs/lake.md", "exec"), {"__name__": "page"})


def test_a_step_is_named_by_file_and_what_has_none_is_refused(steady: House) -> None:
    assert cheap(steps.run_step).step == "millstream.lake.derived.steps:run_step"
    assert cheap(["sh", "made.sh"]).step == ("sh", "made.sh")
    words = {"derived": cheap().derived, "made": cheap().made}
    assert words == {"derived": False, "made": True}
    notebook: dict[str, object] = {"__name__": "__main__"}
    exec(compile("def clean(planes):\n    return planes\n", "<cell 3>", "exec"), notebook)
    for step, says in (
        (lambda planes: planes, "a lambda"),
        (notebook["clean"], r"the function clean of a notebook or a script(.|\n)*step='steps:clean'"),
        ("made.count", "'made:|steps:daily"),
        ("Rscript make.R", r"a command is a list of words: \['Rscript', 'make.R'\]"),
        ([], r"step of table 'cheap' is \[\]"),
        (7, "is 7"),
    ):
        with pytest.raises(DefinitionError, match=says):
            cheap(step)
    for words, says in (
        ({"sql": "select 1"}, "both sql and a step"),
        ({"timeout": "soon"}, "timeout 'soon'"),
        ({"timeout": "0s"}, "leaves no time"),
    ):
        with pytest.raises(DefinitionError, match=says):
            cheap(**words)
    with pytest.raises(NotFound, match=r"has no elsewhere\.py"):
        steady.lake([planes(), cheap("elsewhere:go")]).refresh(actor="ann")
    (steady.root / "made.py").write_text("def go(aircraft):\n    return aircraft\n")
    for step, says in (("made:went", "has no function went"), ("made:go", "does not take its inputs")):
        with pytest.raises(UserError, match=says):
            steady.lake([planes(), cheap(step)]).refresh(actor="ann")
