"""Deciding whether a step has to run, running it, and saying what a version rests on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.steps import code_of, in_words
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, MillstreamError, UserError
from millstream.lake import steps
from millstream.lake.beliefs import settled
from millstream.lake.catalog import Catalog, known, made_hash, refuse_other_kind
from millstream.lake.reader import Reader
from millstream.lake.reuse import made_before
from millstream.lake.shape import compile_shape
from millstream.lake.steps import StepFailed
from millstream.sources import refuse_change
from millstream.state import quarantine
from millstream.state.versions import Making, TableVersion
from millstream.types import Pins

FAILED = "table.failed"
"""Act of the ledger: a step gave no rows."""
_SYSTEM = "system:"


@dataclass(frozen=True)
class _Recipe:
    """What a step's result rests on, beside its code."""

    inputs: Pins
    definition: str
    masked: dict[str, int]

    def hash(self, code: Mapping[str, str]) -> str:
        return made_hash(self.inputs, self.definition, code, self.masked)


class Maker:
    """Makes the rows of tables that have a step."""

    def __init__(self, catalog: Catalog, reader: Reader) -> None:
        self._catalog = catalog
        self._reader = reader
        self._bench = steps.bench(catalog.places.root, catalog.places.state)

    def turn(self, table: str) -> AbstractContextManager[None]:
        """Hold a table's turn; see ``Bench.turn``."""
        return self._bench.turn(table)

    def make(
        self,
        table: Table,
        inputs: Pins,
        *,
        head: TableVersion | None,
        expected: Mapping[str, str] | None,
        actor: str,
        tell: Callable[[str], object] = lambda line: None,
    ) -> tuple[dict[str, Any], pl.DataFrame] | None:
        """Run a table's step if anything it rests on is not as it was for the newest version.

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

        Returns
        -------
        What registering the version needs, and its rows; None when nothing changed.

        Raises
        ------
        MillstreamError
            When it failed; that is in the ledger then.
        """
        root = self._catalog.places.root
        refuse_other_kind(table, head, "made")
        self._refuse_unknown_knowledge(table)
        recipe = self._recipe(table, inputs)
        anew = head is None or head.definition != recipe.definition
        first = steps.first_files(table, root)
        before = head.making.code if head is not None and head.making is not None else {}
        code = code_of(root, [*first, *before])
        if head is not None and head.content == recipe.hash(code):
            return None
        if actor.startswith(_SYSTEM):
            self._refuse_again(table, recipe)
        known = self._of_production(table, recipe)
        if known is not None:
            return known
        began = time.perf_counter()
        wanted = None if anew else expected
        try:
            rows, imported = steps.run_step(
                table,
                {name: self._read(name, each) for name, each in inputs.items()},
                at=self._bench,
                expected=wanted,
                tell=lambda line: tell(f"{table.name}: {line}"),
            )
            used = self._settled(table, {each: code[each] for each in first}, [*first, *imported])
            if wanted is not None:
                _refuse_change(table, wanted, rows)
        except StepFailed as failed:
            files = code_of(root, [*first, *failed.files])
            self._note_failure(table, recipe, head=head, files=files, error=failed.error, actor=actor)
            raise failed.error from None
        seconds = round(time.perf_counter() - began, 3)
        making = Making(step=in_words(table.step or ""), code=used, masked=recipe.masked, columns={}, seconds=seconds)
        note = {
            "kind": "made",
            "content": recipe.hash(used),
            "inputs": dict(inputs),
            "definition": recipe.definition,
            "schema": compile_shape(table, rows.head(0)).schema,
            "making": msgspec.to_builtins(making),
            "anew": anew,
        }
        return note, rows

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
        making = msgspec.structs.replace(theirs.making, columns={}, reused=f"{theirs.table}@{theirs.version}")
        note = {
            "kind": "made",
            "content": recipe.hash(making.code),
            "inputs": dict(recipe.inputs),
            "definition": recipe.definition,
            "schema": compile_shape(table, rows.head(0)).schema,
            "making": msgspec.to_builtins(making),
            "anew": True,
        }
        return note, rows

    def _recipe(self, table: Table, inputs: Pins) -> _Recipe:
        return _Recipe(inputs, self._catalog.digest(table.name), self._masked(inputs))

    def _failed(self, table: Table, recipe: _Recipe) -> dict[str, Any] | None:
        rows = self._catalog.ledger.rows(act=FAILED, subject=table.name, limit=50)
        last = next((each.detail for each in rows if each.subject == table.name), None)
        if last is None or recipe.hash(code_of(self._catalog.places.root, last["code"])) != last["content"]:
            return None
        return last

    def _refuse_again(self, table: Table, recipe: _Recipe) -> None:
        failed = self._failed(table, recipe)
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
        recipe: _Recipe,
        *,
        head: TableVersion | None,
        files: Mapping[str, str],
        error: MillstreamError,
        actor: str,
    ) -> None:
        detail = {
            "problem": error.problem(),
            "head": None if head is None else head.version,
            "inputs": dict(recipe.inputs),
            "code": dict(files),
            "content": recipe.hash(files),
            "timeout": table.timeout,
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

    def _settled(self, table: Table, before: Mapping[str, str], files: list[str]) -> dict[str, str]:
        """Hash the code that ran; what was edited meanwhile cannot be said to have made the rows."""
        used = code_of(self._catalog.places.root, files)
        edited = [each for each, digest in before.items() if used[each] != digest]
        if edited:
            raise StepFailed(
                UserError(f"{edited[0]} was changed while the step of table {table.name!r} ran", do="refresh again")
            )
        return used

    def _refuse_unknown_knowledge(self, table: Table) -> None:
        timed = sorted(each for each in table.of if known(self._catalog, self._catalog.table(each)))
        if timed and "*" not in table.known_at:
            raise DefinitionError(
                f"table {table.name!r} is made by a step of {', '.join(timed)}, so when its columns became known "
                "cannot be seen",
                expected="known_at='...' on the table: an expression over its columns, such as the end of the period",
            )


def _refuse_change(table: Table, expected: Mapping[str, str], rows: pl.DataFrame) -> None:
    found = {name: str(kind) for name, kind in rows.schema.items()}
    try:
        refuse_change(expected, found, where=f"table {table.name!r}")
    except BadData as wrong:
        do = f"give what it gave, or take it: millstream refresh --accept-schema {table.name}"
        raise StepFailed(BadData(wrong.happened, expected=wrong.expected, do=do)) from None
