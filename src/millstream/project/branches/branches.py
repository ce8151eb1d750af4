"""Branches: overlays in which tables are changed for an experiment, what they changed, and throwing them away."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.disk import sync
from millstream.errors import Conflict, NotFound, Refused, UserError, near
from millstream.lake.faults import reach
from millstream.project.people import Person
from millstream.project.unseen import refuse_blind, refuse_edit
from millstream.settings import PRODUCTION
from millstream.state import edits, pointer, releases, versions
from millstream.state.lock import ProjectLock

if TYPE_CHECKING:
    import polars as pl

    from millstream.project.root import Project
    from millstream.state.edits import Edit

_GONE = ".gone-"
_NOTE = "discarding.json"


def branches(project: Project, *, actor: str = "somebody") -> dict[str, Any]:
    """List the overlays: who made each and when, what it changed, and how far it is behind production."""
    settle(project)
    found = []
    for name in names(project):
        with standing(project, name) as one:
            found.append(described(one, Person(one, actor)))
    return {"branches": found}


def names(project: Project) -> list[str]:
    """Name the overlays there are."""
    folder = home(project)
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(each.name for each in there if not each.name.startswith(".") and (each / "state.db").exists())


def branch(project: Project, *, note: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Make the overlay one stands in, unless it is there, and take over production's newest versions: no data."""
    here(project)
    made = begin(project, actor=actor, note=note)
    return described(project, Person(project, actor)) | {"made": made}


def edit(
    project: Project,
    *,
    table: str,
    set: list[str] | None = None,
    where: str = "",
    rows: str = "",
    remove: bool = False,
    note: str = "",
    actor: str = "somebody",
) -> dict[str, Any]:
    """Change rows of a shared table for this overlay alone; only files that hold changed rows are written anew."""
    from millstream.lake.branches import editing

    said = [each for each, given in (("--set", set), ("--rows", rows), ("--remove", remove)) if given]
    if len(said) != 1:
        raise UserError(
            f"{' and '.join(said)} were given" if said else "nothing is said to change",
            expected="one of --set 'COLUMN = EXPRESSION', --rows FILE and --remove",
        )
    if rows and where:
        raise UserError("--where was given with --rows", expected="one of them: rows say by their key which they are")
    if remove and not where:
        raise UserError("--remove without --where would take every row away", expected="--where CONDITION")
    here(project)
    project.manifest.table(table)
    begin(project, actor=actor)
    catalog = project.lake.catalog
    if rows:
        given = _read(Path(rows))
        refuse_edit(project, table, set_={}, where="", rows=given.columns, actor=actor)
        made = editing.edit_rows(catalog, table, given, actor=actor, note=note)
    else:
        words = assigned(set or [])
        refuse_edit(project, table, set_=words, where=where, rows=(), actor=actor)
        made = editing.edit_where(catalog, table, where=where, set_=words, remove=remove, actor=actor, note=note)
    return edit_record(project, table, made)


def edit_record(project: Project, table: str, made: Edit | None) -> dict[str, Any]:
    """Say what an edit did."""
    at = versions.head(project.state, table)
    record = {"branch": project.settings.environment, "table": table, "version": at.version if at else None}
    if made is None:
        return record | {"changed": 0, "new": 0, "gone": 0, "bytes_written": 0, "says": "no row is other than it was"}
    return record | {
        "base": made.base,
        "changed": made.changed,
        "new": made.new,
        "gone": made.gone,
        "bytes_written": made.written,
        "bytes_shared": made.shared,
        "bytes_copied": 0,
        "says": made.says,
    }


def rebase(project: Project, *, table: str = "", keep: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Take over production's newest versions of edited tables, under the same edits; rows both changed are named."""
    from millstream.lake.branches import rebasing

    name_of = here(project)
    if keep not in ("", "mine", "prod"):
        raise UserError(f"--keep {keep} says nothing", expected="mine or prod")
    if table:
        project.manifest.table(table)
    made, halted = [], []
    wanted, reader = [table] if table else edits.tables(project.state), Person(project, actor)
    for name in wanted:
        refuse_blind(reader, name, project.manifest.table(name).key)  # keys that both changed are named
    for name in wanted:
        try:
            done = rebasing.rebase(project.lake.catalog, name, keep=keep, actor=actor)  # type: ignore[arg-type]
        except Conflict as wrong:
            halted.append(wrong)
            continue
        if done is not None:
            made.append(edit_record(project, name, done.edit) | {"since": done.since, "conflicts": done.conflicts})
    if halted:
        other = f"; {', '.join(each['table'] for each in made)} was rebased" if made else ""
        says = "; ".join(each.happened for each in halted)
        raise Conflict(f"{says}{other}", expected=halted[0].expected, do=halted[0].do)
    return {"branch": name_of, "rebased": made, "behind": behind(project)}


def discard(project: Project, *, name: str, actor: str = "somebody") -> dict[str, Any]:
    """Throw an overlay away with all it wrote; production's ledger keeps who did it and what it was."""
    from millstream.lake.catalog import lock

    if project.settings.overlay or name == PRODUCTION:
        raise Refused(
            f"{name} cannot be thrown away from {project.settings.environment}",
            expected="a branch, and to stand in prod",
            do="millstream --env prod branch NAME --discard",
        )
    settle(project)
    known(project, name)
    where = home(project) / name
    held = ProjectLock(where / "run", holder=f"branch {name} --discard")
    try:
        with standing(project, name) as one, lock(home(project)), lock(where / "lake"):
            said = described(one) | {"id": uuid.uuid4().hex, "by": actor}
            said["bytes"] = sum(each.stat().st_size for each in where.rglob("*") if each.is_file())
            _write(where / _NOTE, said)
            reach("discard.begun")
            aside = where.with_name(f"{_GONE}{name}-{said['id'][:8]}")
            where.rename(aside)
            _sync(aside.parent)
            reach("discard.moved")
            _told(project, said, actor=actor)
            reach("discard.told")
    finally:
        held.release()
    shutil.rmtree(aside)
    return {"discarded": name, **{word: said[word] for word in ("tables", "models", "runs", "bytes")}}


def settle(project: Project) -> None:
    """Finish what a crash left of discarding branches: said on production's ledger once, then gone."""
    where = home(project)
    if project.settings.overlay or not any(where.glob(f"{_GONE}*")):
        return
    from millstream.lake.catalog import lock

    with lock(where):
        for aside in sorted(where.glob(f"{_GONE}*")):
            said = json.loads((aside / _NOTE).read_text()) if (aside / _NOTE).exists() else None
            if said is not None:
                rows = project.ledger.rows(act="branch.discard", subject=said["name"])
                if all(each.detail.get("id") != said["id"] for each in rows):
                    _told(project, said, actor=said["by"])
            shutil.rmtree(aside)


def assigned(said: list[str]) -> dict[str, str]:
    """Read ``COLUMN = EXPRESSION``, several."""
    found: dict[str, str] = {}
    for each in said:
        name, equals, text = (part.strip() for part in each.partition("="))
        if not equals or not name or not text:
            raise UserError(
                f"--set {each!r} says nothing to set", expected="COLUMN = EXPRESSION, such as 'price = price * 2'"
            )
        if name in found:
            raise UserError(f"--set says {name} twice", expected="each column once")
        found[name] = text
    return found


def described(project: Project, reader: Person | None = None) -> dict[str, Any]:
    """Describe the overlay a project stands in."""
    from millstream.lake.branches.edited import edited

    first = project.ledger.rows(limit=1, newest=False)
    last = project.ledger.rows(limit=1)
    return {
        "name": project.settings.environment,
        "by": first[0].actor if first else "",
        "since": first[0].at if first else "",
        "last": last[0].at if last else "",
        "tables": [edits_told(project, each, reader) for each in edited(project.lake.catalog)],
        "behind": behind(project),
        "models": models(project),
        "runs": len(project.ledger.rows(acts=("model.register",), limit=1 << 30)),
    }


def edits_told(project: Project, at: Edit, reader: Person | None = None) -> dict[str, Any]:
    """Tell of a table's edits; what they say quotes values, so it is left out for whoever does not see the whole."""
    told = edits.history(project.state, at.table)
    whole = reader is None or reader.sight(at.table).whole
    return {
        "table": at.table,
        "version": at.version,
        "base": at.base,
        "edits": [{"at": each.at, "by": each.actor, "says": each.says if whole else ""} for each in told],
        "bytes_written": sum(each.size for each in at.added),
        "bytes_shared": at.shared,
    }


def behind(project: Project) -> list[dict[str, Any]]:
    """Say of each table taken over how many versions production has made since."""
    over = project.places.over
    if over is None or not over.state_db.exists():
        return []
    found = []
    with standing(project, PRODUCTION) as production:
        for name in sorted(project.lake.shared()):
            mine = versions.before(project.state, name, versions.BRANCHED)
            at = edits.newest(project.state, name)
            if mine is None:
                continue
            base = mine.version if at is None else at.base
            newer = [each.version for each in versions.history(production.state, name) if each.version > base]
            if newer:
                found.append(
                    {
                        "table": name,
                        "base": base,
                        "production": newer[-1],
                        "versions": len(newer),
                        "edited": at is not None,
                    }
                )
    return found


def models(project: Project) -> list[dict[str, Any]]:
    """List the newest version of each model trained here, with what it scored, beside production's champion."""
    from millstream import registry

    found = []
    with standing(project, PRODUCTION) as production:
        for name in project.manifest.models:
            mine = registry.latest(project.places, name)
            if mine is None:
                continue
            at = pointer.get(production.state, name)
            row = releases.get(production.state, at.release) if at.release else None
            number = row.model_version if row is not None else None
            champion = registry.version(production.places, name, number) if number is not None else None
            found.append(
                {
                    "model": name,
                    "version": mine.version,
                    "trained_at": mine.trained_at,
                    "metric": mine.goal,
                    "value": mine.goal_value,
                    "champion": number,
                    "champion_value": champion.goal_value
                    if champion is not None and champion.goal == mine.goal
                    else None,
                    "on_edits": sorted(each for each, pin in mine.pins.items() if pin > versions.BRANCHED),
                }
            )
    return found


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    if not path.is_file():
        raise NotFound(f"there is no file {path}", expected="a CSV or Parquet file of rows")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False)
        return pl.read_csv(path, glob=False, try_parse_dates=True, infer_schema_length=None)
    except pl.exceptions.PolarsError as wrong:
        raise UserError(f"{path} cannot be read: {str(wrong).splitlines()[0]}", expected="CSV or Parquet") from None


def begin(project: Project, *, actor: str, note: str = "") -> bool:
    """Write down who made the overlay, if nobody did, and take over production's versions of what it has not yet.

    Returns
    -------
    Whether it is new.
    """
    if not project.settings.overlay:
        return False
    from millstream.lake.branches.pulling import pulled

    catalog = project.lake.catalog
    new = not project.ledger.rows(limit=1)
    if new:
        project.ledger.record(
            actor=actor, act="branch.make", subject=project.settings.environment, detail={"note": note}
        )
    with catalog.locked():
        wanted = set(project.manifest.tables) & catalog.shared()
        fresh = {each for each in wanted if versions.head(project.state, each) is None}
        pulled(catalog, sorted(fresh), actor=actor)
    return new


def here(project: Project) -> str:
    """Return the name of the overlay one stands in."""
    if not project.settings.overlay:
        raise Refused(
            f"{PRODUCTION} is production, not a branch of it",
            expected="a name of your own, such as exp",
            do="millstream branch exp",
        )
    return project.settings.environment


def known(project: Project, name: str) -> None:
    """Refuse a name that no branch has."""
    found = names(project)
    if name not in found:
        raise NotFound(
            f"there is no branch {name!r}",
            expected=near(name, found) if found else "",
            do="millstream branch lists them",
        )


def home(project: Project) -> Path:
    """Return the folder of the overlays."""
    return (project.places.over or project.places).state / "env"


def standing(project: Project, name: str) -> Project:
    """Return the project as it stands elsewhere, to read from."""
    from millstream.project.root import Project

    return Project(project.root, environment=name)


def _told(project: Project, said: dict[str, Any], *, actor: str) -> None:
    words = ("id", "since", "tables", "models", "runs", "bytes")
    project.ledger.record(
        actor=actor, act="branch.discard", subject=said["name"], detail={word: said[word] for word in words}
    )


def _write(path: Path, said: dict[str, Any]) -> None:
    with path.open("w") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(folder: Path) -> None:
    with suppress(OSError):
        sync(folder)
