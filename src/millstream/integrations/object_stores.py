"""Object stores (``s3://``, ``gs://``, ``az://``), through obstore; keys come from the environment."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any, cast

from millstream.errors import MillstreamError, NotFound, Refused, Unavailable, UserError, near
from millstream.sources.stores import Entry, pattern_of

_PART = 4 << 20
_MAGIC = "*?["
_METADATA = re.compile(r"/latest/(api/token|meta-data)")
"""Where a machine in a cloud is asked for its role, when there are no keys."""
_REFUSED = re.compile(r"status code: 40[13]\b")


class Objects:
    """Objects of one bucket.

    Parameters
    ----------
    address
        ``scheme://bucket/key``, the key a name or a glob. Where the store is and who asks is said by its usual
        variables: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` ...

    Raises
    ------
    UserError
        Where obstore is not installed, or the address is none.
    """

    def __init__(self, address: str) -> None:
        scheme, _, rest = address.partition("://")
        bucket, _, self._key = rest.partition("/")
        self._root = f"{scheme}://{bucket}"
        self._address = address
        try:
            self._obstore = importlib.import_module("obstore")
            self._wrong = importlib.import_module("obstore.exceptions")
            stores = importlib.import_module("obstore.store")
        except ModuleNotFoundError:
            raise UserError(
                f"{address} is in an object store, which nothing installed here reads",
                expected="the package obstore",
                do="pip install 'millstream[objects]'",
            ) from None
        try:
            self._store: Any = stores.from_url(self._root, retry_config=_patience())
        except self._wrong.BaseError as wrong:
            raise UserError(
                f"{address} is no address of an object store: {wrong}", expected="s3://bucket/folder/part-*.csv"
            ) from None

    def entries(self, *, where: str) -> list[Entry]:
        """List the objects that match, by key."""
        fixed = self._key[: min((at for each in _MAGIC if (at := self._key.find(each)) >= 0), default=len(self._key))]
        prefix = fixed.rpartition("/")[0]
        wanted = pattern_of(self._key)
        try:
            listed = [each for part in self._obstore.list(self._store, prefix=prefix or None) for each in part]
        except self._wrong.BaseError as wrong:
            raise self._said(wrong, where) from None
        found = sorted((self._entry(each) for each in listed if wanted.match(each["path"])), key=lambda each: each.path)
        if not found:
            names = [each["path"].rpartition("/")[2] for each in listed]
            raise NotFound(
                f"{where} has no object: nothing matches {self._address}",
                expected="a key or glob in a bucket",
                do=near(self._key.rpartition("/")[2], names),
            )
        return found

    def look(self, entry: Entry) -> Entry | None:
        """Look at one object again; None where it is gone."""
        try:
            return self._entry(self._obstore.head(self._store, self._of(entry)))
        except (FileNotFoundError, self._wrong.NotFoundError):
            return None
        except self._wrong.BaseError as wrong:
            raise self._said(wrong, entry.path) from None

    def open(self, entry: Entry) -> IO[bytes]:
        """Open one object to read from its start."""
        try:
            found = self._obstore.get(self._store, self._of(entry))
        except self._wrong.NotFoundError:
            raise FileNotFoundError(entry.path) from None
        except self._wrong.BaseError as wrong:
            raise self._said(wrong, entry.path) from None
        return cast(IO[bytes], io.BufferedReader(_Stream(self._parts(found, entry))))

    def _parts(self, found: Any, entry: Entry) -> Iterator[bytes]:
        try:
            for part in found.stream(min_chunk_size=_PART):
                yield bytes(part)
        except self._wrong.BaseError as wrong:
            raise self._said(wrong, entry.path) from None

    def _of(self, entry: Entry) -> str:
        return entry.path.removeprefix(f"{self._root}/")

    def _entry(self, meta: dict[str, Any]) -> Entry:
        at: datetime = meta["last_modified"]
        stamp = meta["e_tag"] or at.isoformat()
        return Entry(path=f"{self._root}/{meta['path']}", size=meta["size"], stamp=stamp, at=at)

    def _said(self, wrong: Exception, where: str) -> MillstreamError:
        text = str(wrong)
        said = text.partition("\n")[0].partition(": <?xml")[0]
        code = re.search(r"<Code>(\w+)</Code>", text)
        said = f"{said} ({code[1]})" if code else said
        if _METADATA.search(text):
            return Refused(
                f"{where}: there are no keys for {self._root}, and this machine has no role to read it by: {said}",
                expected="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or a machine with a role",
                do="export them, and refresh again",
            )
        refused = self._wrong.PermissionDeniedError, self._wrong.UnauthenticatedError
        if isinstance(wrong, refused) or _REFUSED.search(text):
            return Refused(
                f"{where}: {self._root} refuses to be read: {said}", do="look at the keys in the environment"
            )
        if "NoSuchBucket" in text:
            return NotFound(
                f"{where}: there is no bucket {self._root.partition('://')[2]!r} at {self._root}",
                expected="a bucket of that store",
                do="correct the address of the source, or AWS_ENDPOINT_URL if it is not Amazon's",
            )
        return Unavailable(
            f"{where}: {self._root} does not answer: {said}",
            expected="an object store; AWS_ENDPOINT_URL says where, if it is not Amazon's",
            do="refresh again; what was read whole need not be read again",
        )


class _Stream(io.RawIOBase):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not len(self._held):
            part = next(self._parts, None)
            if part is None:
                return 0
            self._held = memoryview(part)
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count


def _patience() -> dict[str, Any]:
    from datetime import timedelta

    return {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
