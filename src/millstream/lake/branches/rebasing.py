"""Putting the edits of a branch upon production's newest version of a table; what both changed is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from millstream.errors import Conflict, UserError
from millstream.lake.branches.edited import Differs, differs, keyed, named, nothing, raw, refuse_repeated, repeated
from millstream.lake.branches.editing import Rewriting, register
from millstream.lake.branches.pulling import pulled
from millstream.lake.catalog import Catalog
from millstream.state import edits, versions
from millstream.state.edits import Edit

Keep = Literal["", "mine", "prod"]
_THERE = "__there"


@dataclass(frozen=True)
class Rebased:
    """A table whose edits were put upon another version.

    Parameters
    ----------
    edit
        What was made.
    since
        The base before.
    conflicts
        Keys that both sides changed, in words; settled as was asked.
    """

    edit: Edit
    since: int
    conflicts: str = ""


def rebase(catalog: Catalog, name: str, *, keep: Keep, actor: str) -> Rebased | None:
    """Take over production's newest version of an edited table, and put the same edits upon it.

    Parameters
    ----------
    keep
        Whose rows stay where both changed the same key: ``mine`` or ``prod``; empty to be told of them.

    Returns
    -------
    None when production has nothing newer.

    Raises
    ------
    Conflict
        Naming keys that both changed; nothing was written.
    """
    with catalog.locked():
        edit = edits.newest(catalog.state, name)
        if edit is None:
            raise UserError(f"table {name!r} has no edits here", do="millstream refresh, to take over the newest")
        pulled(catalog, [name], actor=actor)
        onto = versions.before(catalog.state, name, versions.BRANCHED)
        if onto is None or onto.version == edit.base:
            return None
        mine, table = differs(catalog, edit), catalog.table(name)
        none = nothing(catalog, onto)
        key, files = keyed(table, none.schema), catalog.files(table, onto.version)
        _refuse_gone(name, mine, none)
        every = raw(catalog, onto, files)
        again = repeated(key, _touched(mine, key), every)
        if keep != "prod":
            way = f"millstream branch {catalog.places.state.name} --rebase --keep prod gives up the edits of these rows"
            refuse_repeated(table, key, again, do=way)
        mine = _without(mine, again, key)
        touched = _touched(mine, key)
        theirs = pl.concat([none, *(each.join(touched, on=key, how="semi") for each in every)])
        both = _both(mine, theirs, key)
        either = pl.concat([again, both])
        said = named(either, key, count=5) if either.height else ""
        if both.height and not keep:
            raise Conflict(
                f"production changed rows of {name!r} by {name}@{onto.version} that this branch changed too: "
                f"{said}; nothing was changed",
                expected="other rows than production's, or a word on whose stay",
                do=f"millstream branch {catalog.places.state.name} --rebase --keep mine, or --keep prod",
            )
        wanted, away = _wanted(mine, theirs, key, none), mine.gone.select(key)
        if keep == "prod":
            wanted, away = (each.join(both, on=key, how="anti") for each in (wanted, away))
        replaced = pl.concat([wanted.select(key), away])
        rest = {}
        for file, each in zip(files, every, strict=True):
            stays = each.join(replaced, on=key, how="anti", maintain_order="left")
            if stays.height < each.height:
                rest[file.path] = stays
        had = theirs.select(key)
        changed = wanted.join(had, on=key, how="semi").height
        gone = away.join(had, on=key, how="semi").height
        made = Rewriting(rest, wanted, changed=changed, new=wanted.height - changed, gone=gone)
        says = f"rebased from {name}@{edit.base}" + (f", kept {keep} of {said}" if said else "")
        return Rebased(register(catalog, onto, made, says=says, actor=actor), edit.base, said)


def _touched(mine: Differs, key: list[str]) -> pl.DataFrame:
    return pl.concat([each.select(key) for each in (mine.after, mine.new, mine.gone)])


def _without(mine: Differs, keys: pl.DataFrame, key: list[str]) -> Differs:
    """Leave keys out of what a branch changed."""
    parts = (mine.before, mine.after, mine.new, mine.gone)
    return Differs(*(each.join(keys, on=key, how="anti", nulls_equal=True) for each in parts))


def _refuse_gone(name: str, mine: Differs, none: pl.DataFrame) -> None:
    """Refuse to go on where production has other columns: an edit of what is gone means nothing."""
    gone = [each for each in mine.after.columns if each not in none.columns]
    other = [
        each for each in none.columns if each in mine.after.columns and none.schema[each] != mine.after.schema[each]
    ]
    if gone or other:
        raise Conflict(
            f"production's {name!r} has no {', '.join(gone)} any more"
            if gone
            else f"production's {name!r} has another type of {', '.join(other)}",
            expected="the columns that were edited",
            do="millstream branch NAME --diff, then --discard and edit anew",
        )


def _both(mine: Differs, theirs: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return the keys that production changed since, among those the branch changed; the same change is none."""
    shared = [each for each in mine.after.columns if each in theirs.columns]
    now = theirs.select(shared)
    moved = pl.concat([mine.before, mine.gone]).select(shared).join(now, on=shared, how="anti", nulls_equal=True)
    agreed = pl.concat([mine.after, mine.new]).select(shared).join(now, on=shared, how="semi", nulls_equal=True)
    vanished = mine.gone.select(key).join(now, on=key, how="anti")  # both took it away
    came = mine.new.select(key).join(now, on=key, how="semi")
    found = pl.concat([moved.select(key), came]).unique(maintain_order=True)
    return found.join(pl.concat([agreed.select(key), vanished]), on=key, how="anti")


def _wanted(mine: Differs, theirs: pl.DataFrame, key: list[str], none: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as they are to be: production's newest with the changed columns, and those the branch brought."""
    old = mine.before.rename({each: f"{each}__before" for each in mine.before.columns if each not in key})
    now = theirs.with_columns(pl.lit(True).alias(_THERE))
    joined = mine.after.join(old, on=key, how="left").join(now, on=key, how="left", suffix="__now")
    columns = []
    for name in none.columns:
        if name in key:
            columns.append(pl.col(name))
        elif name not in mine.after.columns:
            columns.append(pl.col(name))  # production's alone
        else:
            touched = pl.col(name).ne_missing(pl.col(f"{name}__before")) | pl.col(_THERE).is_null()
            columns.append(pl.when(touched).then(pl.col(name)).otherwise(pl.col(f"{name}__now")).alias(name))
    changed = joined.select(columns)
    return pl.concat([none, changed, mine.new], how="diagonal").select(none.columns)
