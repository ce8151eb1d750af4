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
        columns = (entity,) if isinstance(entity, str) or not isinstance(entity, Iterable) else tuple(entity)
        _refuse_types(name, of, features, columns)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "of", of.name if isinstance(of, Table) else of)
        object.__setattr__(self, "entity", columns)
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
            if not isinstance(feature, str) or not feature.strip():
                raise DefinitionError(
                    f"feature view {self.name!r} has a feature called {feature!r}", expected="a name that is a text"
                )
            if not isinstance(said, str if isinstance(self.of, Request) else Window):
                expected = "an expression (text)" if isinstance(self.of, Request) else "a window such as f.mean(...)"
                shown = f"f.{said.aggregate}(...)" if isinstance(said, Window) else repr(said)
                raise DefinitionError(f"feature {self.name}.{feature} is {shown}", expected=expected)
            _refuse_words(f"feature {self.name}.{feature}", said)
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


def _refuse_types(name: object, of: object, features: object, entity: Iterable[object]) -> None:
    """Refuse what is given in a place that takes something else."""
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError(f"a feature view is called {name!r}", expected="a name that is a text")
    if not isinstance(of, Table | Request | str):
        shown = f"feature view {of.name!r}" if isinstance(of, FeatureView) else repr(of)
        raise DefinitionError(
            f"feature view {name!r} is of {shown}",
            expected="a table, its name, or f.Request(...)",
            do="features made of features are a view of the request: f.Request(view, ...)",
        )
    if not isinstance(features, Mapping):
        raise DefinitionError(
            f"feature view {name!r} has features={features!r}", expected="names with windows: features=dict(name=...)"
        )
    for each in entity:
        if not isinstance(each, str):
            raise DefinitionError(
                f"feature view {name!r} is about entity {each!r}",
                expected="the name of a column, or several: entity=('store', 'item')",
            )


def _refuse_words(where: str, said: Window | str) -> None:
    """Refuse a value or a condition that is no text."""
    if isinstance(said, Window):
        for word, given in (("value", said.value), ("where", said.where)):
            if not isinstance(given, str | None):
                raise DefinitionError(
                    f"{where}: its {word} is {given!r}",
                    expected="an expression over one row of the table, as text: 'amount', 'amount > 50'",
                )
