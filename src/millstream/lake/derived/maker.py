"""Deciding whether a step has to run, running it, and saying what a version rests on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.steps import code_of, in_words
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, MillstreamError, UserError
from millstream.lake.batches import Batches
from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.catalog import Catalog, known, made_hash, refuse_other_kind, shown
from millstream.lake.derived import steps
from millstream.lake.derived.due import Due, code_reasons, due
from millstream.lake.derived.environment import environment_of
from millstream.lake.derived.kept import Kept
from millstream.lake.derived.parted import Batch, noted
from millstream.lake.derived.reuse import made_before
from millstream.lake.derived.steps import StepFailed
from millstream.lake.files import empty
from millstream.lake.reader import Reader
from millstream.lake.shape import PIECE, compile_shape
from millstream.sources import refuse_change
from millstream.state import quarantine, runs
from millstream.state.runs import Run
from millstream.state.versions import Making, TableVersion
from millstream.types import Pins, parse_duration

FAILED = "table.failed"
"""Act of the ledger: a step gave no rows."""
_SYSTEM = "system:"


@dataclass(frozen=True)
class _Recipe:
    """What a step's result rests on, beside its code."""

    inputs: Pins
    definition: str
    masked: dict[str, int]

    def hash(self, code: Mapping[str, str], environment: Mapping[str, str]) -> str:
        return made_hash(self.inputs, self.definition, code, self.masked, environment)


@dataclass(frozen=True)
class Outlook:
    """Whether a table has to be made, before it is.

    Parameters
    ----------
    why
        Why it has to; empty when nothing changed.
    because
        Of it, what concerns every row: the first run, the definition, the code, the environment.
    code, environment
        What is known of them before it runs.
    first
        Files the step is known to consist of.
    anew
        Whether its columns may be others.
    """

    recipe: _Recipe
    why: list[str]
    because: list[str]
    code: dict[str, str]
    environment: dict[str, str]
    first: tuple[str, ...]
    anew: bool


class Maker:
    """Makes the rows of tables that have a step."""

    def __init__(self, catalog: Catalog, reader: Reader) -> None:
        self._catalog = catalog
        self._reader = reader
        self._bench = steps.bench(catalog.places.root, catalog.places.state)

    def turn(self, table: str) -> AbstractContextManager[None]:
        """Hold a table's turn; see ``Bench.turn``."""
        return self._bench.turn(table)

    def look(self, table: Table, inputs: Pins, *, head: TableVersion | None) -> Outlook:
        """Compare what a table rests on with what its newest version rests on.

        Raises
        ------
        DefinitionError
            When the definition cannot be carried out.
        """
        root = self._catalog.places.root
        refuse_other_kind(table, head, "made")
        self._refuse_unknown_knowledge(table)
        recipe = self._recipe(table, inputs)
        first = steps.first_files(table, root)
        before = head.making if head is not None else None
        code = code_of(root, [*first, *(before.code if before is not None else {})])
        environment = environment_of(table, root, code)
        if head is None or before is None:
            return Outlook(recipe, ["it was not made yet"], ["first"], code, environment, first, anew=True)
        anew = head.definition != recipe.definition
        because = ["its definition changed"] if anew else []
        because += code_reasons(before, code, environment)
        moved = [f"{name}@{number} came" for name, number in inputs.items() if head.inputs.get(name) != number]
        masked = [
            each for each in {**before.masked, **recipe.masked} if before.masked.get(each) != recipe.masked.get(each)
        ]
        why = [*because, *moved, *(f"what is in quarantine of {name} changed" for name in masked)]
        return Outlook(recipe, why, because, code, environment, first, anew=anew)

    def due(self, table: Table, look: Outlook, *, head: TableVersion | None, again: Collection[str] | None) -> Due:
        """Say which partitions have to be made; see ``lake.due.due``."""
        inputs = {
            name: (self._read(name, number), self._catalog.table(name).event_time)
            for name, number in look.recipe.inputs.items()
        }
        before: dict[str, Run] = {} if head is None else runs.pieces(self._catalog.state, table.name, head.version)
        because = "first" if head is None else " and ".join(look.because)
        found = due(table, inputs, before=before, because=because, again=again)
        if head is None:
            return dataclasses.replace(found, why=dict.fromkeys(found.why, "it was not made yet"))
        return found

    def make(
        self,
        table: Table,
        inputs: Pins,
        *,
        head: TableVersion | None,
        expected: Mapping[str, str] | None,
        actor: str,
        tell: Callable[[str], object] = lambda line: None,
        again: Collection[str] | None = None,
    ) -> tuple[dict[str, Any], pl.DataFrame | Batches] | None:
        """Make a table, or its partitions, if anything it rests on is not as it was for the newest version.

        Parameters
        ----------
        table, inputs
            The definition, and the versions of its inputs.
        head
            Its newest version.
        expected
            Column to type its rows must have; a changed definition may change them.
        actor
            Who asked. What failed for the system is not tried again until something changed.
        tell
            Called with each line that the step prints.
        again
            Partitions that are made although nothing changed; none of them means everything, None nothing.

        Returns
        -------
        What registering the version needs, and its rows; None when nothing changed.

        Raises
        ------
        MillstreamError
            When it failed; that is in the ledger then.
        """
        look = self.look(table, inputs, head=head)
        if not look.why and again is None:
            return None
        if actor.startswith(_SYSTEM):
            self._refuse_again(table, look)
        if again is None and not table.partition:
            known = self._of_production(table, look.recipe)
            if known is not None:
                return known
        wanted = None if look.anew else expected
        began = time.perf_counter()
        try:
            made: tuple[Making, dict[str, Any], pl.DataFrame | Batches]
            if table.partition:
                made = self._in_pieces(table, look, head=head, expected=wanted, tell=tell, again=again)
            else:
                made = self._whole(table, look, expected=wanted, tell=tell)
        except StepFailed as failed:
            files = code_of(self._catalog.places.root, [*look.first, *failed.files])
            seconds = round(time.perf_counter() - began, 3)
            self._note_failure(table, look, head=head, files=files, seconds=seconds, error=failed.error, actor=actor)
            raise failed.error from None
        making, note, rows = made
        asked = "asked for" if not look.why and not table.partition else ""
        making = msgspec.structs.replace(making, why=asked)
        return {
            "kind": "made",
            "content": look.recipe.hash(making.code, making.environment),
            "inputs": dict(inputs),
            "definition": look.recipe.definition,
            "making": msgspec.to_builtins(making),
            "anew": look.anew,
            **note,
        }, rows

    def finished(self, table: Table) -> None:
        """Forget what was kept of partitions: they are part of a version now."""
        self._kept(table).clear()

    def _whole(
        self, table: Table, look: Outlook, *, expected: Mapping[str, str] | None, tell: Callable[[str], object]
    ) -> tuple[Making, dict[str, Any], pl.DataFrame]:
        began = time.perf_counter()
        frames = {name: self._read(name, each) for name, each in look.recipe.inputs.items()}
        rows, imported = self._executed(table, frames, {}, expected, tell)
        used, environment = self._settled(table, look, imported)
        if expected is not None:
            _refuse_change(table, expected, rows)
        seconds = round(time.perf_counter() - began, 3)
        run = Run("", seconds, rows.height, " and ".join(look.why) or "asked for")
        making = _making(table, look, code=used, environment=environment, seconds=seconds)
        schema = compile_shape(table, rows.head(0)).schema
        return making, {"schema": schema, "runs": [msgspec.to_builtins(run)]}, rows

    def _in_pieces(
        self,
        table: Table,
        look: Outlook,
        *,
        head: TableVersion | None,
        expected: Mapping[str, str] | None,
        tell: Callable[[str], object],
        again: Collection[str] | None,
    ) -> tuple[Making, dict[str, Any], Batches]:
        kept = self._kept(table)
        accepted = expected is None and head is not None and not look.anew  # other columns: every file is written anew
        try:
            found = self.due(table, look, head=head, again=() if accepted else again)
        except MillstreamError as wrong:
            raise StepFailed(wrong) from None
        for line in found.left_out():
            tell(f"{table.name}: {line}")
        if again is not None:
            kept.clear()
        batch = Batch(
            table=table,
            definition=look.recipe.definition,
            due=found,
            kept=kept,
            environment=lambda files: environment_of(table, self._catalog.places.root, files),
            execute=lambda frames, about, wanted: self._executed(table, frames, about, wanted, tell),
            settle=lambda imported: self._settled(table, look, imported),
            tell=lambda line: tell(f"{table.name}: {line}"),
        )
        rows = batch.make(expected)
        everything = look.anew or accepted
        before = head.making if head is not None and head.making is not None and not look.because else None
        code = ({} if before is None else before.code) | batch.code
        environment = environment_of(table, self._catalog.places.root, code)
        making = _making(
            table, look, code=code, environment=environment, seconds=round(sum(each.seconds for each in batch.runs), 3)
        )
        making = msgspec.structs.replace(making, pieces={each.piece: each.why for each in batch.runs})
        columns = {name: kind for name, kind in rows.columns.items() if name != PIECE}
        if not found.why and head is not None:  # nothing was made: what there is goes on
            columns = dict(empty(shown(self._catalog.columns(table)), where=f"table {table.name!r}").schema)
            rows = Batches({**columns, PIECE: pl.String()}, ())
        schema = compile_shape(table, pl.DataFrame(schema=columns)).schema
        return making, {"schema": schema, **noted(batch, everything=everything)}, rows

    def _executed(
        self,
        table: Table,
        frames: dict[str, pl.DataFrame],
        about: Mapping[str, str],
        expected: Mapping[str, str] | None,
        tell: Callable[[str], object],
    ) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """Run the query here, or the step in a process of its own."""
        if table.step is None:
            try:
                limit_s = parse_duration(table.timeout).total_seconds()
                return steps.fit(table, self._catalog.derivation(table).raw(frames, limit_s=limit_s)), ()
            except MillstreamError as wrong:
                raise StepFailed(wrong) from None
        return steps.run_step(
            table,
            frames,
            at=self._bench,
            expected=expected,
            tell=lambda line: tell(f"{table.name}: {line}"),
            about=about,
        )

    def _kept(self, table: Table) -> Kept:
        return Kept(self._bench.folder / f"{table.name}.pieces", self._catalog.places.root)

    def _of_production(self, table: Table, recipe: _Recipe) -> tuple[dict[str, Any], pl.DataFrame] | None:
        """Take over what production has made of the same; its step need not run again."""
        catalog = self._catalog
        found = made_before(
            catalog.places,
            catalog.state,
            table.name,
            inputs=recipe.inputs,
            definition=recipe.definition,
            masked=recipe.masked,
            code_of=lambda files: code_of(catalog.places.root, files),
        )
        if found is None:
            return None
        theirs, rows = found
        assert theirs.making is not None
        environment = environment_of(table, catalog.places.root, theirs.making.code)
        making = msgspec.structs.replace(
            theirs.making, columns={}, environment=environment, reused=f"{theirs.table}@{theirs.version}"
        )
        note = {
            "kind": "made",
            "content": recipe.hash(making.code, making.environment),
            "inputs": dict(recipe.inputs),
            "definition": recipe.definition,
            "schema": compile_shape(table, rows.head(0)).schema,
            "making": msgspec.to_builtins(making),
            "anew": True,
        }
        return note, rows

    def _recipe(self, table: Table, inputs: Pins) -> _Recipe:
        return _Recipe(inputs, self._catalog.digest(table.name), self._masked(inputs))

    def _failed(self, table: Table, look: Outlook) -> dict[str, Any] | None:
        rows = self._catalog.ledger.rows(act=FAILED, subject=table.name, limit=50)
        last = next((each.detail for each in rows if each.subject == table.name), None)
        if last is None:
            return None
        root = self._catalog.places.root
        now = look.recipe.hash(code_of(root, last["code"]), environment_of(table, root, last["code"]))
        return last if now == last["content"] else None

    def _refuse_again(self, table: Table, look: Outlook) -> None:
        failed = self._failed(table, look)
        if failed is not None and failed["timeout"] == table.timeout:
            problem = failed["problem"]
            raise UserError(
                f"{problem['detail']} (it failed before, and nothing changed since)",
                expected=str(problem["expected"]),
                do=f"{problem['do']}; millstream refresh {table.name} tries again",
            )

    def _note_failure(
        self,
        table: Table,
        look: Outlook,
        *,
        head: TableVersion | None,
        files: Mapping[str, str],
        seconds: float,
        error: MillstreamError,
        actor: str,
    ) -> None:
        detail = {
            "problem": error.problem(),
            "head": None if head is None else head.version,
            "inputs": dict(look.recipe.inputs),
            "code": dict(files),
            "content": look.recipe.hash(files, environment_of(table, self._catalog.places.root, files)),
            "timeout": table.timeout,
            "seconds": seconds,
        }
        self._catalog.ledger.record(actor=actor, act=FAILED, subject=table.name, detail=detail)

    def _read(self, name: str, number: int) -> pl.DataFrame:
        found = settled(self._reader.read(self._catalog.version(name, number)))
        return found.frame.select(list(found.schema))

    def _masked(self, inputs: Pins) -> dict[str, int]:
        """Count what is in quarantine of every table whose rows a step reads."""
        found: dict[str, int] = {}
        for name, number in inputs.items():
            found[name] = len(quarantine.upto(self._catalog.state, name, number))
            if self._catalog.table(name).derived:
                found |= self._masked(self._catalog.version(name, number).inputs)
        return {name: count for name, count in found.items() if count}

    def _settled(self, table: Table, look: Outlook, imported: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
        """Hash the code that ran; what was edited meanwhile cannot be said to have made the rows."""
        root = self._catalog.places.root
        used = code_of(root, [*look.first, *imported])
        edited = [each for each in look.first if used[each] != look.code[each]]
        if edited:
            raise StepFailed(
                UserError(f"{edited[0]} was changed while the step of table {table.name!r} ran", do="refresh again")
            )
        return used, environment_of(table, root, used)

    def _refuse_unknown_knowledge(self, table: Table) -> None:
        timed = sorted(each for each in table.of if known(self._catalog, self._catalog.table(each)))
        if timed and table.sql is not None and self._catalog.derivation(table).lineage.plain:
            raise DefinitionError(
                f"table {table.name!r} is stored, and its sql only joins and chooses rows of {', '.join(timed)}: "
                "when its columns became known follows from the query, and would be lost",
                expected="stored=True and partition= for a query that aggregates",
                do="leave them out: the table is computed when it is read",
            )
        if timed and "*" not in table.known_at:
            raise DefinitionError(
                f"table {table.name!r} is made by a step of {', '.join(timed)}, so when its columns became known "
                "cannot be seen",
                expected="known_at='...' on the table: an expression over its columns, such as the end of the period",
            )


def _making(
    table: Table, look: Outlook, *, code: dict[str, str], environment: dict[str, str], seconds: float
) -> Making:
    return Making(
        step=in_words(table.step or "sql"),
        code=code,
        masked=look.recipe.masked,
        columns={},
        seconds=seconds,
        environment=environment,
    )


def _refuse_change(table: Table, expected: Mapping[str, str], rows: pl.DataFrame) -> None:
    found = {name: str(kind) for name, kind in rows.schema.items()}
    try:
        refuse_change(expected, found, where=f"table {table.name!r}")
    except BadData as wrong:
        do = f"give what it gave, or take it: millstream refresh --accept-schema {table.name}"
        raise StepFailed(BadData(wrong.happened, expected=wrong.expected, do=do)) from None
