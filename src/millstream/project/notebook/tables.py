"""A table in a notebook: at a version, at an instant, in Polars or pandas; every read goes on the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from millstream.errors import NotFound, Refused, UserError, near
from millstream.lake.bitemporal import moment
from millstream.lake.bitemporal.moment import seen_at
from millstream.lake.frame import GONE, LEFT, MOVED, SEEN
from millstream.project.notebook import show
from millstream.project.notebook.frames import to_pandas
from millstream.project.people import Person
from millstream.types import parse_instant

if TYPE_CHECKING:
    import pandas as pd

    from millstream.project.root import Project

_HEAD = 5


class LakeTable:
    """One version of a table; nothing is read until it is asked for.

    Parameters
    ----------
    project
        Whose table.
    name
        Its name.
    version
        Which version; the newest when left out. It stays that one whatever arrives later.
    as_seen
        In place of a version: the one that was the newest at this instant.

    Raises
    ------
    NotFound
        For a table or version that is not there; near matches are named.
    """

    def __init__(
        self, project: Project, name: str, *, version: int | None = None, as_seen: str | datetime | None = None
    ) -> None:
        refuse_strange(project, name)
        lake = project.lake
        if as_seen is not None:
            if version is not None:
                raise UserError(f"table {name!r} is asked for by version and by instant", expected="one of them")
            version = seen_at(lake, name, moment.instant(as_seen, now=project.clock.now())).version
        self._project = project
        self._at = lake.head(name) if version is None else lake.version(name, version)
        self.name = name
        self.version = self._at.version

    @property
    def pins(self) -> dict[str, int]:
        """Return what is read, as ``{table: version}``."""
        return {self.name: self.version}

    @property
    def schema(self) -> dict[str, str]:
        """Return the columns and their types in the row language."""
        return {name: str(dtype) for name, dtype in self._at.schema.items()}

    def frame(
        self,
        *,
        as_of: str | datetime | None = None,
        columns: Iterable[str] | None = None,
        between: tuple[str | datetime | None, str | datetime | None] | None = None,
    ) -> pl.DataFrame:
        """Return rows in Polars, without those in quarantine; of a table with history as they are believed last.

        Parameters
        ----------
        as_of
            Only what was known at this instant, each column by its own known-at plus the table's lag: a value not
            known by then is NULL, a correction that came later is not made.
        columns
            Which; all when left out.
        between
            Half-open range of event time, either end None.

        Raises
        ------
        NotFound
            For a column that is not there; near matches are named.
        UserError
            For a text that is no instant, or a range of a table without event time.
        """
        project, wanted = self._project, None if columns is None else list(dict.fromkeys(_listed(columns)))
        at = None if as_of is None else moment.instant(as_of, now=project.clock.now())
        span = None if between is None else _span(between)
        reader = Person(project, project.actor)
        rows, _ = reader.rows(self.name, version=self.version, columns=wanted, between=span, at=at)
        detail: dict[str, Any] = {"columns": rows.columns, "rows": rows.height}
        if at is not None:
            detail["as_of"] = at.isoformat()
        if span is not None:
            detail["between"] = [None if each is None else each.isoformat() for each in span]
        reading(reader, self.pins, {self.name: rows.columns}, detail)
        return rows

    def to_pandas(
        self,
        *,
        as_of: str | datetime | None = None,
        columns: Iterable[str] | None = None,
        between: tuple[str | datetime | None, str | datetime | None] | None = None,
    ) -> pd.DataFrame:
        """Return rows in pandas; the words are those of ``frame``."""
        return to_pandas(self.frame(as_of=as_of, columns=columns, between=between))

    def dataset(self) -> Any:
        """Return the version as MLflow's dataset, digest ``table@version``, for ``mlflow.log_input``."""
        from millstream.tracking.datasets import dataset

        return dataset(self.name, self.version, schema=self.schema, rows=self._at.rows)

    def history(self) -> pl.DataFrame:
        """Return every belief of a table with history, oldest first: when it was seen, and whether the key was gone.

        Raises
        ------
        UserError
            For a table that keeps none.
        """
        reader = Person(self._project, self._project.actor)
        sight = reader.sight(self.name)
        if sight.where is not None:
            raise Refused(
                f"what was believed of {self.name!r} may be of rows that {reader.actor} does not see",
                expected="a role that sees every row of it",
            )
        read = self._project.lake.read(self.name, version=self.version)
        if read.gone is None:
            raise UserError(f"table {self.name!r} keeps no history", do="Table(..., history=True)")
        known = {f"{name}_known_at": pl.col(column) for name, column in read.known.items()}
        told = read.frame.filter(pl.col(GONE) != MOVED).select(
            pl.col(SEEN).alias("seen_at"), (pl.col(GONE) == LEFT).alias("gone"), *read.schema, **known
        )
        told = reader.hide(told, dict.fromkeys(known, reader.mask_of_known(self.name)) | sight.masks)
        reading(reader, self.pins, {self.name: list(read.schema)}, {"rows": told.height, "history": True})
        return told

    @property
    def _whole(self) -> bool:
        """Whether all columns are needed to tell which row of a key holds."""
        definition = self._project.manifest.tables.get(self.name)
        return definition is not None and definition.history

    @cached_property
    def _head(self) -> pl.DataFrame:
        reader = Person(self._project, self._project.actor)
        rows = reader.rows(self.name, version=self.version)[0].head(_HEAD)
        reading(reader, self.pins, {self.name: rows.columns}, {"columns": rows.columns, "rows": rows.height})
        return rows

    @property
    def _columns(self) -> pl.DataFrame:
        definition = self._project.manifest.tables.get(self.name)
        known = self._project.lake.known(self.name)
        keys = definition.key if definition is not None else ()
        said = definition.known_at if definition is not None else {}
        rows, derived = [], definition is not None and definition.derived
        for name, dtype in self._at.schema.items():
            role = "key" if name in keys else "event time" if definition and name == definition.event_time else ""
            told = "with its inputs" if derived else said.get(name, said.get("*", "event time"))
            told = told if name in known else "always"
            rows.append((name, dtype, role, told))
        return show.records(("column", "type", "is", "known at"), rows)

    @property
    def _title(self) -> str:
        rows = "" if self._at.rows is None else f", {self._at.rows:,} rows"
        masked = f", {self._at.quarantined:,} in quarantine" if self._at.quarantined else ""
        return f"{self.name}@{self.version} ({self._at.kind}{rows}{masked})"

    def __repr__(self) -> str:
        return f"{self._title}\n{show.as_text(self._columns)}"

    def _repr_html_(self) -> str:
        return show.block(self._title, show.table(self._columns), show.table(self._head), f"the first {_HEAD} rows")


def refuse_strange(project: Project, name: str) -> None:
    """Refuse a name that is no table of the project, naming what is near."""
    known = {*project.manifest.tables, *project.lake.heads()}
    if name not in known:
        raise NotFound(f"there is no table {name!r}", do=near(name, known))


def listed(project: Project) -> show.Answer:
    """List the tables of a project, as the state knows them."""
    from millstream.state import versions

    rows: list[tuple[Any, ...]] = []
    for name in dict.fromkeys([*project.manifest.tables, *project.lake.heads()]):
        head = versions.head(project.state, name)
        definition = project.manifest.tables.get(name)
        said = definition.description if definition is not None else "written by the lake itself"
        if head is None:
            rows.append((name, None, None, "not read yet: millstream ingest", None, None, said))
        else:
            event = [None if each is None else each[:16].replace("T", " ") for each in (head.event_min, head.event_max)]
            rows.append((name, head.version, head.rows, head.kind, *event, said))
    columns = ("table", "version", "rows", "how", "first event", "last event", "what")
    return show.Answer(show.records(columns, rows), title=f"tables of {project.settings.name}")


def cataloged(project: Project, table: str, find: str) -> show.Answer:
    """List what data there is, or the columns of one table."""
    said = {"table": table} if table else {"find": find} if find else {}
    record = project.run("catalog", {**said, "actor": project.actor})
    if table:
        heads = ("column", "type", "is", "sensitive", "what", "from")
        lines = [
            (each["name"], each["type"], ", ".join(each["plays"]), ", ".join(each["sensitive"]), each["about"],
             each["how"] or ", ".join(each["from"]))
            for each in record["column_list"]
        ]  # fmt: skip
        return show.Answer(show.records(heads, lines), title=f"{table}: {record['table']['description']}")
    columns = ("table", "version", "how", "rows", "columns", "owner", "seconds behind", "contract", "sensitive", "what")
    words = ("name", "version", "kind", "rows", "columns", "owner", "seconds_behind", "contract")
    rows = [
        (*(each[word] for word in words), ", ".join(each["sensitive"]), each["description"])
        for each in record["tables"]
    ]
    return show.Answer(show.records(columns, rows), title=f"catalog of {project.settings.name}")


def asked(
    project: Project,
    query: str,
    *,
    as_of: str | datetime | None = None,
    as_seen: str | datetime | None = None,
    at: Mapping[str, int] | None = None,
) -> show.Answer:
    """Run one SELECT over the newest versions of the tables it names, or over these as they were."""
    reader = Person(project, project.actor)
    frame, pins, reads, meant = reader.query(query, as_of=as_of, as_seen=as_seen, at=at)
    reading(reader, pins, reads, {"sql": query, "columns": frame.columns, "rows": frame.height, **meant})
    return show.Answer(frame, pins=pins)


def reading(reader: Person, pins: dict[str, int], reads: Mapping[str, Iterable[str]], detail: dict[str, Any]) -> None:
    """Write down on the ledger that a person read data, of which versions and columns."""
    reader.project.read.update(dict.fromkeys(pins.items()))
    reader.record(pins, reads, detail)


def instant(said: str | datetime | None) -> datetime | None:
    """Read an instant as people give it: a text (UTC where it names no zone) or an aware datetime."""
    if said is None or (isinstance(said, datetime) and said.tzinfo is not None):
        return said
    if isinstance(said, datetime):
        raise UserError(f"{said.isoformat()} has no time zone", expected="an aware datetime, or a text (UTC)")
    try:
        return parse_instant(str(said) if len(str(said)) != len("2013-03") else f"{said}-01")
    except ValueError as wrong:
        raise UserError(str(wrong)) from None


def _span(between: Any) -> tuple[datetime | None, datetime | None]:
    if not isinstance(between, tuple | list) or len(between) != 2:
        raise UserError(f"between is {between!r}", expected="two instants, for instance ('2013-01-05', '2013-01-12')")
    return instant(between[0]), instant(between[1])


def _listed(columns: Iterable[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)
