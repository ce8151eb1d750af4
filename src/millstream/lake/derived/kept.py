"""Results of partitions that are finished, kept aside until all of them are committed: what a kill does not undo.

Nothing is synced: after a loss of power a file may be cut, is recognised by its hash, and its partition runs again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.steps import code_of
from millstream.errors import StorageFull
from millstream.lake.delta import file_sha256
from millstream.lake.faults import reach


class Result(msgspec.Struct, frozen=True):
    """What one partition gave.

    Parameters
    ----------
    piece
        The partition.
    rests
        Hash of the rows it read and of the table's definition.
    code, environment
        As they were when it ran.
    seconds, rows
        How long it took, and how many rows it gave.
    sha256
        Of its file.
    """

    piece: str
    rests: str
    code: dict[str, str]
    environment: dict[str, str]
    seconds: float
    rows: int
    sha256: str


class Kept:
    """The results of one table.

    Parameters
    ----------
    folder
        Where they lie; made when the first is kept.
    root
        The project, in which the code lies.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root

    def file(self, piece: str) -> Path:
        """Return where the rows of a partition lie."""
        return self._folder / f"{hashlib.sha256(piece.encode()).hexdigest()[:32]}.parquet"

    def get(self, piece: str, *, rests: str, environment: Callable[[Iterable[str]], dict[str, str]]) -> Result | None:
        """Return a finished partition that rests on the same rows, definition, code and environment, whole on disk.

        ``environment`` says for files of code what counts of what is installed.
        """
        file = self.file(piece)
        try:
            found = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Result)
            same = (found.piece, found.rests) == (piece, rests) and code_of(self._root, found.code) == found.code
            return found if same and environment(found.code) == found.environment and self._whole(found) else None
        except (OSError, msgspec.DecodeError):
            return None

    def _whole(self, found: Result) -> bool:
        return file_sha256(self.file(found.piece)) == found.sha256

    def put(self, result: Result, rows: pl.DataFrame) -> Result:
        """Keep a finished partition: its rows, and their hash, by which a file that was cut is recognised.

        Raises
        ------
        StorageFull
            When the disk refuses.
        """
        file = self.file(result.piece)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            rows.write_parquet(file)
            made = msgspec.structs.replace(result, sha256=file_sha256(file))
            file.with_suffix(".json").write_bytes(msgspec.json.encode(made))
        except (OSError, pl.exceptions.ComputeError) as wrong:
            raise StorageFull(f"{file} could not be written: {wrong}", do="free some space and try again") from None
        reach("step.kept")
        return made

    def rows(self, piece: str) -> pl.DataFrame:
        """Read the rows of a kept partition."""
        return pl.read_parquet(self.file(piece), glob=False)

    def clear(self) -> None:
        """Forget all results: they are committed, or rest on what is no longer so."""
        shutil.rmtree(self._folder, ignore_errors=True)
