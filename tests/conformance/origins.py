"""The other ends of the sources that are built in."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from millstream.definitions.sources import Csv, Dlt, Json, Parquet, Postgres, Source, Sql
from millstream.testing import rows
from tests.objects import Bucket, Cut
from tests.postgres import Server

MIDDLE = 45
"""An id in the middle of the rows of which half come."""


class Files:
    """Files of a folder, each delivery one."""

    databases: Mapping[str, str] = {}
    kinds: Mapping[str, type[Csv] | type[Json] | type[Parquet]] = {"csv.gz": Csv, "jsonl": Json, "parquet": Parquet}

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder, self.ending = folder, ending
        self._delivered: list[tuple[str, pl.DataFrame]] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> str:
        return f"{self.folder}/*.{self.ending}"

    def source(self, *, columns: tuple[str, ...] = ()) -> Source:
        return self.kinds[self.ending](
            self.path, columns=columns, times={"at": ("%Y-%m-%dT%H:%M:%S%z",)} if self.texts else {}
        )

    @property
    def texts(self) -> bool:
        return self.ending != "parquet"

    def put(self, added: pl.DataFrame) -> None:
        name = f"part-{len(self._delivered):03d}"
        self._delivered.append((name, added))
        self.write(name, self.written(added))

    def write(self, name: str, body: bytes) -> None:
        whole = self.folder / f"{name}.{self.ending}"
        whole.with_suffix(".half").write_bytes(body)
        whole.with_suffix(".half").rename(whole)

    def written(self, frame: pl.DataFrame) -> bytes:
        made = self.folder.parent / "written"
        if self.ending == "csv.gz":
            frame.write_csv(made, datetime_format="%Y-%m-%dT%H:%M:%S%:z")
            return gzip.compress(made.read_bytes(), 1, mtime=0)
        if self.ending == "jsonl":
            frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%:z")).write_ndjson(made)
        else:
            frame.write_parquet(made)
        return made.read_bytes()

    @contextmanager
    def half(self, added: pl.DataFrame) -> Iterator[None]:
        self.put(added)
        name, _ = self._delivered[-1]
        body = self.written(added)
        self.write(name, body[: len(body) // 2])
        yield
        self.write(name, body)

    def widen(self) -> None:
        for name, frame in self._delivered:
            self.write(name, self.written(frame.with_columns(extra=pl.lit(1, dtype=pl.Int64))))

    def again(self) -> None:
        self.write(f"again-{len(self._delivered)}-{os.urandom(2).hex()}", self.written(self._delivered[-1][1]))


class Objects(Files):
    """The same files in a bucket."""

    def __init__(self, bucket: Bucket, folder: Path, redirect: Callable[[str], None]) -> None:
        super().__init__(folder, "csv.gz")
        self.bucket, self.redirect = bucket, redirect

    @property
    def path(self) -> str:
        return f"s3://{self.bucket.name}/in/*.{self.ending}"

    def write(self, name: str, body: bytes) -> None:
        self.bucket.put(f"in/{name}.{self.ending}", body)

    @contextmanager
    def half(self, added: pl.DataFrame) -> Iterator[None]:
        self.put(added)
        road = Cut(self.bucket.server.ports["s3.port"], after=1_700)
        self.redirect(road.url)
        yield
        road.end()
        self.redirect(self.bucket.server.url)


class Rows:
    """A table of a database."""

    broken = ""

    def __init__(self, kind: type[Postgres] | type[Sql], address: str, *, cursor: str = "") -> None:
        self.kind, self.cursor = kind, cursor
        self.databases: Mapping[str, str] = {"shop": address}
        self.execute("create table orders (id integer primary key, at timestamp, total double precision, note text)")

    def execute(self, statement: str) -> None:
        raise NotImplementedError

    def source(self, *, columns: tuple[str, ...] = ()) -> Source:
        return self.kind("orders", "shop", columns=columns, cursor=self.cursor)

    def put(self, added: pl.DataFrame) -> None:
        for part in added.iter_slices(5_000):
            self.execute(f"insert into orders (id, at, total, note) values {', '.join(map(_said, part.rows()))}")

    @contextmanager
    def half(self, added: pl.DataFrame) -> Iterator[None]:
        self.put(added)
        self.execute("alter table orders rename to whole")
        self.execute(f"create view orders as select * from whole where case id when {MIDDLE} then {self.broken} end")
        yield
        self.execute("drop view orders")
        self.execute("alter table whole rename to orders")

    def widen(self) -> None:
        self.execute("alter table orders add column extra integer")
        self.execute("update orders set extra = 1")


class Lite(Rows):
    """SQLite, read through SQLAlchemy."""

    broken = "abs(-9223372036854775808) else 1"  # an overflow, when it gets there

    def __init__(self, file: Path, *, cursor: str = "") -> None:
        self.kept = sqlite3.connect(file, isolation_level=None)
        super().__init__(Sql, f"sqlite:///{file}", cursor=cursor)

    def execute(self, statement: str) -> None:
        self.kept.execute(statement)


class Served(Rows):
    """PostgreSQL on its server."""

    broken = "pg_terminate_backend(pg_backend_pid()) else true"

    def __init__(self, server: Server, *, cursor: str = "") -> None:
        self.server, self.name = server, server.database()
        super().__init__(Postgres, server.url(self.name), cursor=cursor)

    def execute(self, statement: str) -> None:
        self.server.run(self.name, statement)


class Loaded:
    """A resource of dlt, which gives all it has each time."""

    databases: Mapping[str, str] = {}
    module = """
import json
from pathlib import Path

import dlt


@dlt.resource(name="rows", primary_key="id", write_disposition="replace")
def rows(file):
    for number, line in enumerate(Path(file).read_text().splitlines()):
        if line == "broken":
            raise ValueError("the service is gone")
        yield json.loads(line)
"""

    def __init__(self, folder: Path) -> None:
        (folder / "project").mkdir()
        (folder / "project/given.py").write_text(self.module)
        self.file = folder / "rows.jsonl"
        self.frame = rows(1, 0)

    def source(self, *, columns: tuple[str, ...] = ()) -> Source:
        assert not columns, "a resource says which columns it has"
        return Dlt("given:rows", arguments={"file": str(self.file)})

    def put(self, added: pl.DataFrame) -> None:
        self.frame = pl.concat([self.frame, added])
        self.write()

    def write(self) -> None:
        self.frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%:z")).write_ndjson(self.file)

    @contextmanager
    def half(self, added: pl.DataFrame) -> Iterator[None]:
        self.put(added)
        whole = self.file.read_text().splitlines()
        self.file.write_text("\n".join([*whole[:MIDDLE], "broken", *whole[MIDDLE:]]))
        yield
        self.write()

    def widen(self) -> None:
        self.frame = self.frame.with_columns(extra=pl.lit(1, dtype=pl.Int64))
        self.write()


def _said(row: tuple[object, ...]) -> str:
    number, at, total, note = row
    text = "null" if note is None else "'" + str(note).replace("'", "''") + "'"
    return f"({number}, '{str(at)[:19]}', {total!r}, {text})"


assert MIDDLE in rows(21, 40)["id"]
