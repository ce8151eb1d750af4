"""Compute served vectors again from the lake: the release's own plan, the answer's instant, the versions it named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.errors import NotFound
from millstream.features.online import layout
from millstream.features.plan import TARGET, FeatureColumn, FeaturePlan, ViewPlan
from millstream.lake.frame import TableFrame
from millstream.serving.records import Prediction
from millstream.types import Pins

if TYPE_CHECKING:
    import polars as pl

    from millstream.features import FeatureEngine

Floats: TypeAlias = npt.NDArray[np.float64]


class State(NamedTuple):
    """What of a table is read: its version, and the number of the last row posted beside it (0: none).

    ``arrived`` says of posted rows from which answer on they are reflected: number and instant, both ascending.
    """

    table: str
    version: int
    posted: int = 0
    arrived: tuple[tuple[int, int], ...] = ()


Read: TypeAlias = Callable[[State, bool], TableFrame]
"""Reads a table in a state; the second says whether rows in quarantine are left out."""

ABSENT = np.inf
"""Stands where a plan does not have a feature: no feature is ever infinite."""


class How(NamedTuple):
    """Under which reading vectors are computed again.

    ``applied`` overrides the versions an answer named, for every answer; ``decided_us`` and ``asked_us`` move the
    instant of the answer and those it was sent, as a clock of another zone would; ``plan`` takes other definitions;
    ``arrived`` says, by table, from which answer on posted rows are reflected, for answers that differ in that alone.
    """

    applied: Pins | None = None
    trusted: bool = True
    decided_us: int = 0
    asked_us: int = 0
    plan: FeaturePlan | None = None
    arrived: Mapping[str, tuple[tuple[int, int], ...]] | None = None


class Stack(NamedTuple):
    """Vectors, one below the other.

    ``values`` has the shape (vectors, features); ``owner`` says of each which answer it is of. An answer has one
    vector, a list one for each item.
    """

    values: Floats
    owner: npt.NDArray[np.intp]


class Recompute:
    """Computes vectors of one release again.

    Parameters
    ----------
    plan
        The release's.
    features, categories
        Of its model: their order, and the categories of texts.
    read
        How tables are read.
    engine
        Who computes features; the embedded one unless said.
    """

    def __init__(
        self,
        plan: FeaturePlan,
        features: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        read: Read,
        engine: FeatureEngine | None = None,
    ) -> None:
        from millstream.features import PolarsEngine

        self.plan = plan
        self.engine: FeatureEngine = engine or PolarsEngine()
        self.features = tuple(features)
        self._categories = categories
        self._read = read

    def stack(self, answers: Sequence[Prediction], how: How | None = None) -> Stack:
        """Compute the vectors of answers that named the same versions.

        Raises
        ------
        NotFound
            When a version is gone, or an answer names none of a table its features come from.
        """
        if not answers:
            return Stack(np.empty((0, len(self.features))), np.empty(0, np.intp))
        how = how or How()
        plan = how.plan or self.plan
        applied = answers[0].applied if how.applied is None else how.applied
        if plan.ranking is not None:
            return self._lists(answers, plan, applied, how)
        asked = _moved(_asked(plan, answers, how.decided_us), plan, how.asked_us)
        joined = self._joined(plan, asked, applied, how)
        return Stack(self._encoded(plan, joined), np.arange(len(answers)))

    def _joined(self, plan: FeaturePlan, asked: pl.DataFrame, applied: Pins, how: How) -> pl.DataFrame:
        """Join the features of each view at the version it reflects: nearly always one a table."""
        from millstream.features.join import combine

        alike: list[tuple[dict[str, State], list[ViewPlan]]] = []
        for view in plan.views:
            state = state_of(view, applied)
            if how.arrived is not None and f"{view.name}/{view.table}{layout.POSTED}" not in applied:
                state = state._replace(arrived=how.arrived.get(view.table, ()))
            for pinned, views in alike:
                if pinned.setdefault(state.table, state) == state:
                    views.append(view)
                    break
            else:
                alike.append(({state.table: state}, [view]))
        for number, (pinned, views) in enumerate(alike or [({}, [])]):
            request = plan.request_features if number == 0 else {}
            columns = {f"{view.name}.{name}": said.dtype for view in views for name, said in view.features.items()}
            columns |= {name: said.dtype for name, said in request.items()}
            part = msgspec.structs.replace(
                plan,
                views=tuple(views),
                request_features=request,
                combined={},
                columns=tuple(FeatureColumn(name, dtype) for name, dtype in columns.items()),
            )
            tables = {table: self._read(state, how.trusted) for table, state in pinned.items()}
            asked = self.engine.point_in_time(part, asked, tables)
        return asked.with_columns(**combine(plan, asked, {}))

    def _encoded(self, plan: FeaturePlan, joined: pl.DataFrame) -> Floats:
        from millstream.training.matrix import matrix

        columns = {each.name: each for each in plan.columns}
        there = [place for place, name in enumerate(self.features) if name in columns]
        found = np.full((joined.height, len(self.features)), ABSENT)
        found[:, there] = matrix(joined, [columns[self.features[place]] for place in there], self._categories)
        return found

    def _lists(self, answers: Sequence[Prediction], plan: FeaturePlan, applied: Pins, how: How) -> Stack:
        import polars as pl

        from millstream.training.lists import Ranker

        assert plan.ranking is not None
        tables = {name: self._read(_state("", name, applied), how.trusted) for name in plan.learnt_from}
        ranker = Ranker(plan, tables, self.engine)
        asked = _moved(_asked(plan, answers, how.decided_us), plan, how.asked_us)
        kind = ranker.choices.items.schema[plan.ranking.item]
        made: list[Floats] = [np.empty((0, len(self.features)))]
        owner: list[int] = []
        for number, each in enumerate(answers):
            listed = pl.DataFrame({plan.ranking.item: each.said["items"]}).cast({plan.ranking.item: kind})
            place = ranker.choices.places(listed)
            pairs = ranker.features(asked[number : number + 1], np.zeros(len(place), dtype=np.intp), place)
            made.append(self._encoded(plan, pairs))
            owner += [number] * len(place)
        return Stack(np.concatenate(made), np.array(owner, dtype=np.intp))


def served(answers: Sequence[Prediction], width: int) -> Stack:
    """Lay out the vectors of answers as they were served."""
    values = np.frombuffer(b"".join(each.features for each in answers), dtype="<f8").reshape(-1, width)
    counts = [len(each.features) // (8 * width) for each in answers]
    return Stack(values, np.repeat(np.arange(len(answers)), counts))


def state_of(view: ViewPlan, applied: Pins) -> State:
    """Return the state of its table that a view reflected."""
    return _state(f"{view.name}/", view.table, applied)


def _state(role: str, table: str, applied: Pins) -> State:
    version = applied.get(f"{role}{table}", applied.get(table))
    if version is None:
        raise NotFound(
            f"the answer names no version of table {table!r}",
            expected="the version of every table its features reflect",
        )
    posted = f"{table}{layout.POSTED}"
    return State(table, version, applied.get(f"{role}{posted}", applied.get(posted, 0)))


def names_of(table: str, applied: Pins) -> tuple[list[str], list[str]]:
    """Return by which names an answer says versions of a table, and numbers of rows posted to it."""
    plain = [each for each in applied if each.rpartition("/")[2] == table]
    return plain, [each for each in applied if each.rpartition("/")[2] == f"{table}{layout.POSTED}"]


def _asked(plan: FeaturePlan, answers: Sequence[Prediction], later_us: int) -> pl.DataFrame:
    from millstream.features.rows import from_requests

    return from_requests(plan, [each.row for each in answers], [each.at_us + later_us for each in answers])


def _moved(asked: pl.DataFrame, plan: FeaturePlan, by_us: int) -> pl.DataFrame:
    """Move the instants that were sent."""
    import polars as pl

    if not by_us:
        return asked
    instants = [name for name in (*plan.request, TARGET) if isinstance(asked.schema.get(name), pl.Datetime)]
    return asked.with_columns(pl.col(each) + pl.duration(microseconds=by_us) for each in instants)
