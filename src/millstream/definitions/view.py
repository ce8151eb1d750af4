"""Features of an entity, defined once for training and serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millstream.definitions.features import Request, Window
from millstream.definitions.role import Role as Role
from millstream.definitions.rows import At
from millstream.definitions.table import Table
from millstream.errors import DefinitionError
from millstream.types import parse_duration


@dataclass(frozen=True, init=False)
class FeatureView:
    """Features of an entity.

    Parameters
    ----------
    name
        Prefix of its features: ``carrier_form.late_share_7d``.
    of
        The table whose rows are the facts, or ``features.Request`` for expressions over the request and over features
        of other views.
    entity
        Column or columns of the table that name whom a fact is about. Not for request views.
    features
        Name to window (``features.mean(...)``), or to an expression for request views.
    ttl
        A fact older than this is not used by ``last`` (``over`` of windows that have none).
    """

    name: str
    of: str | Request
    entity: tuple[str, ...]
    features: dict[str, Window | str]
    ttl: str | None

    def __init__(
        self,
        name: str,
        *,
        of: Table | Request | str,
        features: Mapping[str, Window | str],
        entity: str | Iterable[str] = (),
        ttl: str | None = None,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "of", of.name if isinstance(of, Table) else of)
        object.__setattr__(self, "entity", (entity,) if isinstance(entity, str) else tuple(entity))
        object.__setattr__(self, "features", dict(features))
        object.__setattr__(self, "ttl", ttl)
        self._refuse_contradictions()

    def on(self, keys: Mapping[str, str], *, name: str, at: At = "decided_at") -> Role:
        """Use the view for another role: entity column to the column of the rows that holds it.

        With ``at="target_at"``, under a horizon, the windows are those that contain the instant that is predicted, of
        facts that were known at the decision: what is planned ahead, such as promotions.

        >>> from millstream.definitions.features import last
        >>> weather = FeatureView("weather", of="weather", entity="airport", features={"wind": last("wind_speed")})
        >>> weather.on({"airport": "dest"}, name="weather_at_dest").name
        'weather_at_dest'
        """
        role = Role(view=self.name, keys=dict(keys), name=name, at=at)
        object.__setattr__(role, "_defined", self)  # so that a notebook can use a view that no file defines yet
        return role

    def _refuse_contradictions(self) -> None:
        if not self.features:
            raise DefinitionError(f"feature view {self.name!r} has no features", expected="features=dict(name=...)")
        for feature, said in self.features.items():
            if isinstance(self.of, Request) != isinstance(said, str):
                expected = "an expression (text)" if isinstance(self.of, Request) else "a window such as f.mean(...)"
                shown = repr(said) if isinstance(said, str) else f"f.{getattr(said, 'aggregate', said)}(...)"
                raise DefinitionError(f"feature {self.name}.{feature} is {shown}", expected=expected)
            for length in () if isinstance(said, str) else (said.over, said.ago, self.ttl):
                try:
                    parse_duration("1d" if length is None else length)
                except TypeError:
                    raise DefinitionError(
                        f"feature {self.name}.{feature}: {length!r} is not a length of time",
                        expected="text such as '6h', '7d' or '1d12h'",
                    ) from None
                except ValueError as wrong:
                    raise DefinitionError(f"feature {self.name}.{feature}: {wrong}") from None
        if isinstance(self.of, Request) == bool(self.entity):
            raise DefinitionError(
                f"feature view {self.name!r} has {'an entity' if self.entity else 'no entity'}",
                expected="entity=... for a view of a table, none for a view of the request",
            )
