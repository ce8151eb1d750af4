"""Answers and outcomes as logged: followed while they are written, kept in the lake once their segment has ended.

An ended segment becomes one lake commit of the table ``predictions`` and one ledger row with its hash, and only then is
its file deleted. An id names process and sequence, so a row is found in its segment or its commit without a scan.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import NotFound
from millstream.serving import records
from millstream.serving.records import Logged, Outcome, Prediction
from millstream.serving.seal import DAMAGED, Tail, discard, ended, put_aside, seal
from millstream.state import segments, versions

if TYPE_CHECKING:
    import polars as pl

    from millstream.project.root import Project

TABLE = "predictions"
ACTOR = "system:log"
_MOST, _EVERY = 100_000, 1 << 40
_decoder = msgspec.msgpack.Decoder(Prediction | Outcome)


def folders(project: Project) -> tuple[Path, ...]:
    """List where segments of the log may lie: its own folder, and every spool that a server has used."""
    spools = (Path(each) for each in segments.folders(project.state))
    return tuple(dict.fromkeys((project.places.log.resolve(), *(each for each in spools if each.is_dir()))))


def keep_ended(project: Project, paths: Iterable[Path] | None = None) -> int:
    """Move segments nobody writes any more into the lake; doing it again, or after a kill, changes nothing.

    Parameters
    ----------
    paths
        Ended segments; all of them when left out. Somebody who follows the log names those that had ended before it
        last looked, so that it has read them to their end.

    Returns
    -------
    int
        Segments moved.
    """
    moved = 0
    for path in ended(*folders(project)) if paths is None else paths:
        made = seal(path)
        if made.records:
            rows = _as_known(project, _frame(list(of_segment(path, over_damage=True))))
            version = project.lake.append(
                TABLE, rows, app_id=f"log.{made.incarnation}", app_version=made.last, actor=ACTOR
            )
            row = segments.Segment(
                name=path.name,
                server=made.incarnation,
                first_sequence=made.first,
                last_sequence=made.last,
                records=made.records,
                sha256=made.sha256,
                bytes=made.bytes,
                sealed_at=project.clock.now().isoformat(),
                lake_version=version.version,
            )
            if segments.get(project.state, path.name) is None:
                with project.state.transact() as tx:
                    segments.put(tx, row)
                    detail = {"sha256": made.sha256, "records": made.records, "version": version.version}
                    detail |= {"damaged": made.damaged} if made.damaged else {}
                    project.ledger.append(tx, actor=ACTOR, act="log.seal", subject=path.name, detail=detail)
            moved += 1
        if made.damaged:
            put_aside(path)
        else:
            discard(path)
    return moved


def verify(project: Project) -> list[dict[str, Any]]:
    """Compare sealed segments with the ledger, and name what of the log does not hold."""
    kept = {each.name: each for each in segments.all(project.state)}
    if not project.ledger.verify().ok:  # a finding of its own; nothing can be compared with it
        return []
    wrong = []
    for told in project.ledger.rows(act="log.seal", limit=1 << 40):
        row = kept.pop(told.subject, None)
        said = None if row is None else {"sha256": row.sha256, "records": row.records, "version": row.lake_version}
        if said is None or any(told.detail.get(name) != value for name, value in said.items()):
            wrong.append((told.subject, f"is not kept as row {told.sequence} of the ledger sealed it"))
    wrong += [(name, "is kept, and no row of the ledger seals it") for name in kept]
    for path in sorted(each for folder in folders(project) for each in folder.glob(f"*{DAMAGED}")):
        wrong.append(
            (path.name, f"was damaged after it was written; its whole answers are in {TABLE}, it lies in {path}")
        )
    for path in records.segments(*folders(project)):
        if len(records.read(path, over_damage=True)[0]) > len(records.read(path)[0]):
            wrong.append((path.name, f"was damaged in the middle: an answer in {path} does not hold any more"))
    wrong += _missing(project)
    if not wrong:
        says = f"{len(segments.all(project.state))} sealed segments as the ledger tells"
        return [{"ok": True, "subject": "answers", "says": says}]
    return [{"ok": False, "subject": f"answers {name}", "says": says} for name, says in wrong]


def _missing(project: Project) -> list[tuple[str, str]]:
    """Name segments that servers began, and that are gone or end before the last answer that was acknowledged."""
    sealed = {each.name: each.last_sequence for each in segments.all(project.state)}
    found = []
    for each in segments.begun(project.state):
        path = Path(each.folder) / each.name
        last = sealed.get(each.name)
        if last is None:
            kept = path if path.exists() else path.with_suffix(DAMAGED)
            if not kept.exists() and segments.get(project.state, each.name) is not None:
                continue  # sealed at this moment
            if not kept.exists():
                count = each.last_sequence - each.first_sequence + 1
                says = f"is gone from {each.folder} and was never sealed: {count} or more answers and outcomes are lost"
                found.append((each.name, f"{says}; it was begun {each.begun_at}"))
                continue
            last = max((one.sequence for one in of_segment(kept, over_damage=True)), default=each.first_sequence - 1)
        if last < each.last_sequence:
            says = f"ends at record {last}, and record {each.last_sequence} was acknowledged: its end was cut"
            found.append((each.name, says))
    return found


def find(project: Project, prediction: str) -> Logged:
    """Find an answer by its id, in the log or in the commit its segment became.

    Raises
    ------
    NotFound
        When nothing has that id.
    """
    try:
        return records.find(prediction, *folders(project))
    except NotFound:
        server, sequence = records.parse_id(prediction)
        held = segments.holding(project.state, server, sequence)
        if held is None or held.lake_version is None:
            raise
        for each in of_commit(project, held.lake_version):
            if each.id == prediction:
                return each
        raise


def reported(project: Project, prediction: Logged) -> list[Logged]:
    """Return what was reported over HTTP about a prediction or its row, the last known last.

    Costs one read of the kept answers' key columns and of the segments not sealed yet.
    """
    said = prediction.record
    wanted = {prediction.id, said.about}
    found = [
        each
        for path in records.segments(*folders(project))
        for each in of_segment(path)
        if each.outcome is not None and each.record.model == said.model and each.record.about in wanted
    ]
    if versions.head(project.state, TABLE) is not None:
        import polars as pl

        told = (pl.col("kind") == "outcome") & (pl.col("model") == said.model) & pl.col("key").is_in(sorted(wanted))
        kept = project.lake.read(TABLE, columns=["id", "kind", "model", "key"]).frame.filter(told)
        found += [find(project, each) for each in kept["id"].to_list()]
    once = {each.id: each for each in found}
    return sorted(once.values(), key=lambda each: (each.record.at_us, each.record.wall_us, each.sequence))


def ids(project: Project) -> Iterator[str]:
    """Yield the id of every record that is kept, in the lake and in the log."""
    if versions.head(project.state, TABLE) is not None:
        yield from project.lake.read(TABLE, columns=["id"]).frame["id"].to_list()
    for path in records.segments(*folders(project)):
        yield from (each.id for each in of_segment(path))


class AnswerTail:
    """Follows answers from the first one kept to the newest, across segments, processes and the lake.

    Parameters
    ----------
    project
        The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._tail = Tail(project.places.log.resolve())
        self._begun = False

    def poll(self) -> list[Logged]:
        """Return what was logged since the last call; the first call returns everything kept."""
        found: list[Logged] = []
        if not self._begun:
            self._begun = True
            if versions.head(self._project.state, TABLE) is not None:
                found += _decoded(self._project.lake.read(TABLE).frame)
        self._tail.follow(*folders(self._project))
        return found + self._tail.poll()


def of_commit(project: Project, version: int) -> list[Logged]:
    """Return the records that a sealed segment became, by the version of its commit."""
    since = version - 1 if version > 0 else None
    return _decoded(project.lake.added(TABLE, since=since, version=version).frame)


def of_segment(path: Path, *, over_damage: bool = False) -> Iterator[Logged]:
    """Yield the records of a segment; in one go over damage, since an offset does not say which sequence comes next."""
    offset = 0
    while True:
        found, after = records.read(path, offset, most=_EVERY if over_damage else _MOST, over_damage=over_damage)
        yield from found
        if after == offset:
            return
        offset = after


class Marks:
    """Up to where segments hold only answers from before some instant, so that no night reads them from the start."""

    def __init__(self) -> None:
        self._marks: dict[Path, list[tuple[int, int]]] = {}

    def since(self, path: Path, first_us: int) -> Iterator[Logged]:
        """Yield the records of a segment but for a beginning without any answer from an instant on."""
        marks = self._marks.setdefault(path, [(0, 0)])
        offset, newest = max(each for each in marks if each[1] < max(first_us, 1))
        while True:
            found, after = records.read(path, offset, most=_MOST)
            if after == offset:
                return
            offset, newest = after, max([newest, *(each.prediction.at_us for each in found if each.prediction)])
            if offset > marks[-1][0]:
                marks.append((offset, newest))
            yield from found


def _frame(logged: list[Logged]) -> pl.DataFrame:
    """Lay records out as a table: what people ask about in columns, and the whole record beside.

    ``class`` names the class or group that was said, ``decision`` says whether the threshold was reached.
    """
    import polars as pl

    rows = []
    for each in logged:
        said = each.prediction
        rows.append(
            {
                "id": each.id,
                "sequence": each.sequence,
                "kind": "prediction" if said is not None else "outcome",
                "model": each.record.model,
                "key": each.record.about,
                "at": each.record.at_us,
                "version": said.version if said is not None else None,
                "value": said.value if said is not None else None,
                "class": said.said.get("class") if said is not None else None,
                "decision": said.said.get("decision", said.said.get("flagged")) if said is not None else None,
                "answered_by": said.answered_by if said is not None else None,
                "degraded": said.degraded if said is not None else None,
                "latency_us": said.latency_us if said is not None else None,
                "record": base64.b64encode(records.encode(each.record)).decode(),
            }
        )
    schema = {
        "id": pl.String,
        "sequence": pl.Int64,
        "kind": pl.String,
        "model": pl.String,
        "key": pl.String,
        "at": pl.Int64,
        "version": pl.Int64,
        "value": pl.Float64,
        "class": pl.String,
        "decision": pl.Boolean,
        "answered_by": pl.String,
        "degraded": pl.Boolean,
        "latency_us": pl.Int64,
        "record": pl.String,
    }
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))


def _as_known(project: Project, rows: pl.DataFrame) -> pl.DataFrame:
    """Leave out columns that the table was begun without: it holds every record whole, whatever its columns."""
    known = versions.expected_schema(project.state, TABLE)
    return rows if known is None else rows.select(each for each in rows.columns if each in known)


def _decoded(frame: pl.DataFrame) -> list[Logged]:
    rows = zip(frame["id"].to_list(), frame["sequence"].to_list(), frame["record"].to_list(), strict=True)
    return [Logged(id_, sequence, _decoder.decode(base64.b64decode(text))) for id_, sequence, text in rows]
