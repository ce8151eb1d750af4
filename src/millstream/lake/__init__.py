"""Tables and their versions: attach, ingest, derive, read pinned, recover.

A version only names immutable files. Reading one goes by that list, never by what a folder holds now. Here stand the
catalog, versions, reading and writing; how rows come in is ``ingest``, tables made from tables ``derived``, tables of
others ``attached``, the two clocks ``bitemporal``, experiments ``branches``, and what may go ``housekeeping``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.lake.finding import Finding
    from millstream.lake.frame import TableFrame
    from millstream.lake.lake import Lake
    from millstream.state.versions import TableVersion

__all__ = ["Finding", "Lake", "TableFrame", "TableVersion"]


def __getattr__(name: str) -> Any:
    if name == "Lake":
        from millstream.lake.lake import Lake

        return Lake
    if name == "TableFrame":
        from millstream.lake.frame import TableFrame

        return TableFrame
    if name == "TableVersion":
        from millstream.state.versions import TableVersion

        return TableVersion
    if name == "Finding":
        from millstream.lake.finding import Finding

        return Finding
    raise AttributeError(f"module 'millstream.lake' has no attribute {name!r}")
