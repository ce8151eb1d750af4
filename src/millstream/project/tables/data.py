"""Read and trust: bring tables to their newest version, run their contracts, ask them questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.definitions.sources import Csv, Json, Parquet, Posted
from millstream.definitions.steps import code_of
from millstream.errors import ContractBroken, MillstreamError, NotFound, StorageFull, UserError, near
from millstream.project.answering.serving_state import announce, found_again, has_to_be_kept
from millstream.project.housekeeping.quota import over_quota
from millstream.project.people import Person
from millstream.project.tables import habits as usual
from millstream.project.tables.columns import accept
from millstream.project.tables.lags import keep_lags
from millstream.project.tables.noticing import notice
from millstream.project.tables.pins import look, tell_lost
from millstream.project.tables.posting import forget, seal
from millstream.project.tables.quarantining import verify_released
from millstream.project.tables.stopped import tell_stopped
from millstream.project.telling import broken_told, reports_told
from millstream.state import contracts, habits, quarantine, runs, taken, versions
from millstream.types import content_hash, parse_instant

if TYPE_CHECKING:
    import polars as pl

    from millstream.checks.scene import Between, Reader
    from millstream.definitions.table import Table
    from millstream.features.plan import FeaturePlan
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project
    from millstream.state.contracts import Checked
    from millstream.state.versions import Making, TableVersion

SERVED_AHEAD = timedelta(days=4)
"""How long served features hold when nothing refreshes them; after that the fallback answers."""
_SHOWN = 1000


@dataclasses.dataclass(frozen=True)
class _Move:
    """What bringing tables to their newest version did: new versions, contracts run on the way, tables that stopped."""

    made: list[TableVersion]
    reports: list[dict[str, Any]]
    stopped: dict[str, MillstreamError]

    def said(self) -> list[dict[str, Any]]:
        """Return what stopped, as plain data."""
        return [{"table": name, **each.problem()} for name, each in self.stopped.items()]

    def exit_code(self) -> int:
        """Return the exit code of the first table that stopped; 0 when none did."""
        return next((each.exit_code for each in self.stopped.values()), 0)


def refresh(
    project: Project,
    *,
    tables: list[str] | None = None,
    accept_schema: list[str] | None = None,
    again: bool = False,
    partitions: list[str] | None = None,
    plan: bool = False,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Notice new versions, take in changed files, run the steps that have to, and keep served features current.

    The columns that the tables in ``accept_schema`` wait for are agreed to first. With ``again`` the named tables are
    made although nothing changed, of those in partitions the named ones or all; with ``plan`` it is only said what
    would be done.
    """
    asked = _asked(project, tables, again=again, partitions=partitions)
    if plan:
        from millstream.project.tables import planned

        wanted = {
            each.name for name in _named(project, tables) for each in _upstream(project, project.manifest.table(name))
        }
        found = planned.plan(project, [each for each in project.manifest.tables if each in wanted], again=asked)
        return {"plan": found, "versions": [], "reports": [], "stopped": [], "assumptions": [], "exit_code": 0}
    accept(project, accept_schema or (), actor=actor)
    move = _move(project, tables, actor=actor, again=asked)
    if move.made:
        keep_served(project)
    standing = look(project)
    tell_lost(project, standing)
    assumed = list(dict.fromkeys(said for name in project.manifest.tables for said in _assumed(project, name)))
    return {
        "versions": [{**msgspec.to_builtins(each), **_told(project, each)} for each in move.made],
        "reports": move.reports,
        "stopped": move.said(),
        "assumptions": assumed,
        "pins": standing,
        "exit_code": move.exit_code(),
    }


def _asked(
    project: Project, tables: list[str] | None, *, again: bool, partitions: list[str] | None
) -> dict[str, list[str]]:
    """Say which tables are made although nothing changed, each with its partitions."""
    if partitions and not again:
        raise UserError("partitions are named and nothing is asked of them", do="add --again")
    if not again:
        return {}
    if not tables:
        raise UserError("--again needs to know which tables", expected="millstream refresh TABLE --again")
    for name in tables:
        table = project.manifest.table(name)
        if not table.made or (partitions and not table.partition):
            what = "has no partitions" if table.made else "is not made by a step or a stored query"
            raise UserError(f"table {name!r} {what}", expected="a table with step=, stored=True or partition=")
        head = versions.head(project.state, name)
        there = runs.pieces(project.state, name, head.version) if head is not None else {}
        for each in partitions or []:
            if each not in there:
                raise NotFound(f"table {name!r} has no partition {each!r}", do=near(each, there))
    return {name: list(partitions or []) for name in tables}


def _told(project: Project, made: TableVersion) -> dict[str, Any]:
    """Say why a version came about, and how long it took against its habit."""
    said = usual.of_version(project, made)
    return {"why": _why(project, made), "habit": said, "took": usual.in_words(made, said)}


def _assumed(project: Project, name: str) -> list[str]:
    """Say what is assumed of a table; nothing of one that could not be made yet."""
    definition = project.manifest.table(name)
    if any(
        not each.derived and versions.head(project.state, each.name) is None for each in _upstream(project, definition)
    ):
        return []
    return project.lake.assumptions(name)


def _upstream(project: Project, table: Table) -> list[Table]:
    """List a table and all that it is computed from, inputs first."""
    found: dict[str, Table] = {}
    for name in table.of:
        found |= {each.name: each for each in _upstream(project, project.manifest.table(name))}
    return [*found.values(), table]


def _move(
    project: Project, tables: Iterable[str] | None, *, actor: str, again: Mapping[str, list[str]] | None = None
) -> _Move:
    """Bring tables to their newest version; a step runs on rows that were checked, or not at all."""
    from millstream.lake.derived.steps import Meanwhile

    move = _Move([], [], {})
    looked_at: set[str] = set()

    def ready(name: str) -> None:
        upstream = [each for each in _upstream(project, project.manifest.table(name)) if each.checks]
        for each in upstream:
            if each.name not in looked_at:
                looked_at.add(each.name)
                report = _check_one(project, each.name, actor=actor)
                move.reports.extend([report] if report is not None else [])
        refuse_broken(project, [each.name for each in upstream])

    meanwhile = Meanwhile(aside=project.aside, tell=project.said)
    asked = _named(project, tables)
    behind = {each: [one.name for one in _upstream(project, project.manifest.table(each))] for each in asked}
    move.stopped.update(over_quota(project, behind))
    wanted = [each for each in asked if each not in move.stopped]
    seal(project)
    made = project.lake.refresh(
        wanted, actor=actor, ready=ready, stopped=move.stopped, meanwhile=meanwhile, again=again
    )
    move.made.extend(made)
    looked = {each.name for name in asked for each in _upstream(project, project.manifest.table(name))}
    tell_stopped(project, looked, move.stopped)
    keep_lags(project, move.made)
    usual.tell_slow(project, move.made)
    return move


def _why(project: Project, made: TableVersion) -> str:
    """Say why a table has a new version."""
    if made.table in project.lake.shared():
        return "taken over from production"
    if made.making is not None and made.making.reused:
        return f"production's {made.making.reused} rests on the same"
    before = versions.before(project.state, made.table, made.version)
    if before is None:
        count = len(made.making.pieces) if made.making is not None else 0
        return f"read for the first time{f', in {count} partitions' if count else ''}"
    if made.kind in ("derived", "made"):
        moved = [f"{name}@{number}" for name, number in made.inputs.items() if before.inputs.get(name) != number]
        said = ["its definition changed"] if before.definition != made.definition else []
        if made.making is not None and before.making is not None:
            said += _why_step(before.making, made.making)
            if made.making.pieces or project.manifest.table(made.table).partition:
                pieces = usual.why_pieces(made.making.pieces)
                return pieces if made.making.pieces else f"{', '.join(moved)} came; {pieces}"
            if made.making.why:
                return made.making.why
        return " and ".join([*said, f"{', '.join(moved)} came"] if moved else said)
    if made.kind == "ingested":
        from millstream.lake.ingest import extracts

        if (taking := taken.taking(project.state, made.table, made.version)) is not None:
            return "; ".join(taking.says)
        counted = extracts.moved(project.lake.catalog, made.table, since=before.version, version=made.version)
        return counted or "what is in its files changed"
    from millstream.lake.attached import foreign

    count = made.version - before.version
    rows = foreign.moved(project.lake.catalog, made.table, since=before.version, version=made.version)
    if made.delta_version is None:
        return f"{foreign.files_moved(project.lake.catalog, made.table, before.version, made.version)}: {rows}"
    return f"its log grew by {count} commit{'s' * (count != 1)}: {rows}{_new_columns(before, made)}"


def _new_columns(before: TableVersion, made: TableVersion) -> str:
    """Say which columns a version brought that the one before had not."""
    from millstream.sources.drift import differences

    says = differences(before.columns, made.columns) if before.columns else []
    return f"; columns: {', '.join(says)}" if says else ""


def _why_step(before: Making, now: Making) -> list[str]:
    """Say what of a step changed beside its inputs' versions."""
    from millstream.lake.derived.due import code_reasons

    masked = [each for each in {**before.masked, **now.masked} if before.masked.get(each) != now.masked.get(each)]
    said = code_reasons(before, now.code, now.environment)
    return [*said, f"what is in quarantine of {', '.join(masked)} changed"] if masked else said


def step_failure(project: Project, table: Table) -> str:
    """Say why a table's last step failed, until its inputs or its code change; empty when it did not."""
    if not table.made:
        return ""
    rows = project.ledger.rows(act="table.failed", subject=table.name, limit=50)
    last = next((each.detail for each in rows if each.subject == table.name), None)
    if last is None or last["code"] != code_of(project.root, last["code"]):
        return ""
    heads = versions.heads(project.state)
    same = last["head"] == heads.get(table.name) and last["inputs"] == {each: heads.get(each) for each in table.of}
    return str(last["problem"]["detail"]) if same else ""


def keep_served(project: Project) -> None:
    """Bring the served features of every live model to the heads of the lake; nothing before a release is live."""
    from millstream.project.models.ship import live_plans

    serve_plans(project, live_plans(project))


def serve_plans(project: Project, plans: Iterable[FeaturePlan]) -> None:
    """Write the step functions of these plans' views, as the heads of the lake have them."""
    wanted = list(plans)
    if not wanted:
        return
    pins, now = project.lake.heads(), project.clock.now()
    found_again(project)
    announce(project, wanted, pins)
    project.live.refresh(wanted, pins=pins, now=now, ahead=SERVED_AHEAD)
    forget(project)


def check(project: Project, *, tables: Iterable[str] | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Run contracts on what arrived since they last ran; rows that fail go into quarantine by key and reason."""
    move = _move(project, tables, actor=actor)
    reports = [
        *move.reports,
        *(
            _check_one(project, name, actor=actor)
            for name in _named(project, tables)
            if project.manifest.table(name).checks and versions.head(project.state, name) is not None
        ),
    ]
    masked = any(each["quarantined"] for each in reports if each)
    if move.made or masked or has_to_be_kept(project, SERVED_AHEAD):
        # after the checks: served features leave out what they put in quarantine
        keep_served(project)
    found = [each for each in reports if each is not None]
    broken = [each for report in found for each in report["results"] if not each["ok"] and each["severity"] == "stop"]
    code = ContractBroken.exit_code if broken else move.exit_code()
    return {"reports": reports_told(project, found, actor=actor), "stopped": move.said(), "exit_code": code}


def _check_one(project: Project, name: str, *, actor: str) -> dict[str, Any] | None:
    """Check what a version brought, all of it when the contract changed; where none came, what is wrong with that."""
    definition, head = project.manifest.table(name), project.lake.head(name)
    before = contracts.last(project.state, name)
    if before is not None and before.report.get("contract") != _contract(definition):
        before = None
    if before is None or before.version < head.version:
        record = _check_batch(project, definition, head.version, before)
        made, memory = record.pop("quarantine"), record.pop("memory")
        return _keep(project, record, made=made, memory=memory, actor=actor)
    again = _check_silence(project, definition, before)
    return None if again is None else _keep(project, again, made=None, actor=actor)


def _contract(table: Table) -> str:
    """Hash what is asked of a table."""
    return content_hash(msgspec.to_builtins(table.checks))


def _check_batch(project: Project, table: Table, version: int, before: Checked | None) -> dict[str, Any]:
    import polars as pl

    from millstream.checks import run
    from millstream.checks.outside import inside
    from millstream.checks.scene import Scene
    from millstream.lake.bitemporal.beliefs import settled
    from millstream.project.tables import standing

    since = before.version if before is not None else None
    kind = project.lake.version(table.name, version).kind
    partial = (
        table.partition
        or getattr(table.source, "cursor", "")
        or isinstance(table.source, Csv | Json | Parquet | Posted)
    )
    whole = kind in ("ingested", "made") and not partial  # each version brings all its rows
    whole = whole or table.history  # a row of a key that is here already corrects it
    batch = settled(project.lake.added(table.name, since=since, version=version))
    with inside(project.root):
        made = run(
            table,
            batch,
            known_keys=None if since is None or whole else _earlier(project, table.name, since, version),
            other=any_table(project),
            now=project.clock.now(),
            timezone=project.settings.timezone,
            since=parse_instant(before.checked_at) if before is not None else None,
            newest=_newest(before),
        )
    noticed, aside, memory = notice(project, table, version, batch=batch, since=since)
    results = standing.plain((*made.results, *noticed))
    if before is not None:
        seen = Scene(table, batch, None, any_table(project), project.clock.now(), project.settings.timezone)
        results = standing.carry(project, seen, before.report["results"], results)
    masked = pl.concat([made.quarantine, *aside], how="vertical_relaxed")
    quarantined = masked.height
    return {
        "table": table.name,
        "version": version,
        "contract": _contract(table),
        "rows": made.rows,
        "results": results,
        "quarantined": quarantined,
        "quarantine": masked,
        "memory": memory,
    }


def _check_silence(project: Project, table: Table, before: Checked) -> dict[str, Any] | None:
    """Ask again the checks that time alone may break; None when they say what they said."""
    from millstream.checks import by_the_clock, run
    from millstream.lake.bitemporal.beliefs import settled

    now, since, zone = project.clock.now(), parse_instant(before.checked_at), project.settings.timezone
    wanted = by_the_clock(table, now=now, timezone=zone, since=since)
    if not wanted:
        return None
    made = run(
        dataclasses.replace(table, checks=wanted),
        settled(project.lake.added(table.name, since=before.version, version=before.version)),
        known_keys=None,
        other=any_table(project),
        now=now,
        timezone=zone,
        since=since,
        newest=_newest(before),
    )
    said = {(each["check"], each["subject"]): each for each in before.report["results"]}
    news = {(each.check, each.subject): msgspec.to_builtins(each) for each in made.results}
    judged_a_day = any(each.check == "complete" and each.detail.get("days") for each in made.results)
    if not judged_a_day and all(said.get(about, {}).get("ok") == each["ok"] for about, each in news.items()):
        return None
    again = [news.get((each["check"], each["subject"]), each) for each in before.report["results"]]
    return before.report | {"results": again}


def _keep(
    project: Project, record: dict[str, Any], *, made: pl.DataFrame | None, actor: str, memory: bytes | None = None
) -> dict[str, Any]:
    """Write down what checks found, and mask the rows that failed."""
    name, version = record["table"], record["version"]
    record["checked_at"] = at = project.clock.now().isoformat()
    with project.state.transact() as tx:
        if made is not None:
            project.lake.quarantine(name, version, made, tx=tx)
        if memory is not None:
            habits.put(tx, name, version, memory=memory)
        kept = contracts.put(tx, name, version, at=at, report=record)
        failed = [each["says"] for each in record["results"] if not each["ok"]]
        project.ledger.append(
            tx,
            actor=actor,
            act="table.check",
            subject=f"{name}@{version}",
            detail={
                "rows": record["rows"],
                "quarantined": record["quarantined"],
                "failed": failed,
                "report": kept,
                "masked": quarantine.masked_hash(tx, name, version),
            },
        )
    return record


def verify_checks(project: Project) -> list[dict[str, Any]]:
    """Compare what checks said, and the rows they put in quarantine, with the ledger; name what does not hold."""
    if not project.ledger.verify().ok:  # a finding of its own; nothing can be compared with it
        return []
    told = {each.subject: each for each in project.ledger.rows(acts=("table.check",), limit=1 << 40, newest=False)}
    kept = contracts.hashes(project.state)
    wrong = {
        f"{name}@{version}": "has rows in quarantine, and no check the ledger tells of put them there"
        for name, version in quarantine.versions_of(project.state)
        if f"{name}@{version}" not in told
    }
    for (name, version), each in kept.items():
        row = told.get(f"{name}@{version}")
        if row is None:
            wrong[f"{name}@{version}"] = "has a report of checks that the ledger tells nothing of"
        elif "report" in row.detail and each != row.detail["report"]:
            wrong[f"{name}@{version}"] = f"what its checks said is not as row {row.sequence} of the ledger tells"
    for subject, row in told.items():
        name, _, number = subject.rpartition("@")
        if (name, int(number)) not in kept:
            wrong[subject] = f"was checked (row {row.sequence} of the ledger), and the report is gone"
            continue
        masked = quarantine.masked_hash(project.state, name, int(number))
        if row.detail.get("masked", masked) != masked:
            wrong[subject] = f"its rows in quarantine are not as row {row.sequence} of the ledger tells"
    wrong |= verify_released(project)
    if not wrong:
        says = f"{len(kept)} reports and their quarantine as the ledger tells"
        return [{"ok": True, "subject": "checks", "says": says}]
    return [{"ok": False, "subject": f"checks of {each}", "says": says} for each, says in sorted(wrong.items())]


def any_table(project: Project) -> Reader:
    """Return what reads tables for checks: as they stand, rows in quarantine included."""

    def other(table: str, *, columns: Sequence[str] | None = None, between: Between | None = None) -> TableFrame:
        from millstream.lake.bitemporal.beliefs import settled

        history = table in project.manifest.tables and project.manifest.table(table).history
        read = project.lake.read(table, columns=None if history else columns, between=between, trusted=False)
        return settled(read)

    return other


def _newest(before: Checked | None) -> datetime | None:
    """Return the newest event the last check of a table knew of."""
    if before is None:
        return None
    found = [each["detail"]["newest"] for each in before.report["results"] if "newest" in each["detail"]]
    return parse_instant(max(found)) if found else None


def _earlier(project: Project, name: str, since: int, version: int) -> Callable[[], pl.DataFrame]:
    """Read what was there before and still is: a file delivered again repeats nothing, it takes the other's place."""
    keys = project.manifest.table(name).key
    return lambda: project.lake.kept(name, since=since, version=version, columns=keys).frame


def refuse_broken(project: Project, tables: Iterable[str]) -> None:
    """Refuse to learn from a table whose newest version broke a check of severity stop.

    A check whose rows a person let back, all of them and with a reason, does not hold anything up any more.

    Raises
    ------
    ContractBroken
        Naming the table and what it said.
    """
    for name in tables:
        checked = contracts.last(project.state, name)
        for each in checked.report["results"] if checked else []:
            if checked is None or each["ok"] or each["severity"] != "stop":
                continue
            if quarantine.all_back(project.state, name, checked.version, f"{each['check']} {each['subject']}"):
                continue
            raise ContractBroken(
                f"{name}@{checked.version} broke its contract: {broken_told(project, each)}",
                expected="data that holds what its contract says",
                do=f"millstream quarantine {name}; repair the data, let rows back that are right, "
                "or lower the severity of the check",
            )


def quarantined(project: Project, table: str, version: int) -> int:
    """Count the keys that trusted reads of a version leave out."""
    return quarantine.count(project.state, table, version)


def sql(
    project: Project,
    *,
    query: str,
    out: str | None = None,
    as_of: str | None = None,
    as_seen: str | None = None,
    at: dict[str, int] | None = None,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Run a SELECT over the heads of the tables it names, as the one who asks may see them; it goes on the ledger.

    With ``out`` every row goes into that file, CSV or Parquet by its ending, which appears whole or not at all.
    ``as_of`` leaves out what became known after an instant, ``as_seen`` reads the versions that were the newest then,
    ``at`` names versions.
    """
    _refuse_ending(out)
    reader = Person(project, actor)
    frame, pins, reads, meant = reader.query(query, as_of=as_of, as_seen=as_seen, at=at)
    if out is not None:
        _write(frame, Path(out))
    reader.record(pins, reads, {"sql": query, "rows": frame.height, **meant})
    shown = frame.head(_SHOWN)
    return {
        "columns": shown.columns,
        "rows": [[_plain(value) for value in row] for row in shown.rows()],
        "count": frame.height,
        "pins": dict(pins),
        **meant,
        "out": out,
    }


def _refuse_ending(out: str | None) -> None:
    if out is not None and Path(out).suffix not in (".csv", ".parquet"):
        raise UserError(f"{Path(out).name} is neither .csv nor .parquet", expected="one of these endings")


def _write(frame: pl.DataFrame, out: Path) -> None:
    """Write rows aside and let the file appear in one step."""
    import polars as pl

    scratch = out.with_name(f".{out.name}.new")
    try:
        if out.suffix == ".csv":
            frame.write_csv(scratch)
        else:
            frame.write_parquet(scratch)
        scratch.replace(out)
    except FileNotFoundError:
        raise NotFound(f"there is no folder {out.parent}", do=f"mkdir -p {out.parent}") from None
    except OSError as wrong:
        raise StorageFull(
            f"{out} could not be written: {wrong}", do="free some space, or choose another place"
        ) from None
    except pl.exceptions.PolarsError as wrong:
        raise UserError(
            f"{out.name} cannot hold the rows: {wrong}", expected="plain columns", do="use --parquet"
        ) from None
    finally:
        scratch.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _named(project: Project, tables: Iterable[str] | None) -> list[str]:
    names = list(tables or [])
    for each in names:
        project.manifest.table(each)
    return names or list(project.manifest.tables)
