"""A feature view as somebody uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.definitions.rows import At

if TYPE_CHECKING:
    from millstream.definitions.view import FeatureView


@dataclass(frozen=True)
class Role:
    """A view used for another role of the rows."""

    view: str
    keys: dict[str, str]
    name: str
    at: At = "decided_at"

    @property
    def defined(self) -> FeatureView | None:
        """The view itself where the role was made from it in this process; no part of the record."""
        found: FeatureView | None = getattr(self, "_defined", None)
        return found
