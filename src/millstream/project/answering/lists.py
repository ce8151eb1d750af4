"""Lists: made in batch by the live release, and what became of those that were answered."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import UserError
from millstream.types import from_micros, to_micros

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project
    from millstream.serving.records import Prediction
    from millstream.training.lists import Ranker


class Listed(msgspec.Struct, frozen=True):
    """One list that was answered: its id and instant, who asked, and its items."""

    id: str
    at_us: int
    key: dict[str, Any]
    items: list[Any]


def score_lists(
    project: Project, release: Path, plan: FeaturePlan, *, span: tuple[datetime | None, datetime | None]
) -> tuple[pl.DataFrame, int]:
    """Make the lists of every decision in a span; without one, of everybody who ever chose something, as of now.

    Returns
    -------
    tuple
        One row an item: who asked, ``decided_at``, ``place`` from 1, the item, ``score`` and ``known``; and how many
        lists there are.

    Raises
    ------
    UserError
        When nobody asks in that span.
    """
    import polars as pl

    from millstream.features import spine
    from millstream.serving import models
    from millstream.serving.scorer import Scorer
    from millstream.training.lists import Decisions
    from millstream.training.matrix import matrix

    assert plan.ranking is not None
    ranker = _ranker(project, plan, plan.learnt_from)
    rows, items = (ranker.tables[name] for name in (plan.rows_table, plan.ranking.candidates))
    if span == (None, None):
        now = pl.lit(project.clock.now()).cast(pl.Datetime("us", "UTC"))
        asked = rows.frame.select(plan.ranking.asked).unique(plan.ranking.by, keep="last", maintain_order=True)
        asked = asked.with_columns(now.alias("decided_at"))
    else:
        bare = msgspec.structs.replace(plan, ranking=msgspec.structs.replace(plan.ranking, negatives=0))
        asked = spine(bare, rows, between=span, facts=items).select(*plan.ranking.asked, "decided_at")
    asked = asked.unique([*plan.ranking.by, "decided_at"], maintain_order=True).drop_nulls(plan.ranking.by)
    if not asked.height:
        raise UserError(
            f"nobody asks {plan.model} for a list in that span", do="millstream status shows what the tables hold"
        )
    read = models.read_from(release)
    columns, scorer = {each.name: each for each in plan.columns}, Scorer.open(release)
    file = models.read_model(read)
    used = [columns[each] for each in scorer.features]

    def score(pairs: pl.DataFrame) -> Any:
        import numpy as np

        features = array("d", matrix(pairs, used, file.categories).tobytes())
        return np.array(scorer.score_encoded(features, pairs.height), dtype=np.float64)

    try:
        nobody = Decisions.of_nothing(asked)
        made = ranker.lists(nobody, [score], popular=models.read_popular(read))[0]
    finally:
        scorer.close()
    return _laid_out(ranker, asked, made.items, made.scores), asked.height


def _laid_out(ranker: Ranker, asked: pl.DataFrame, items: Any, scores: Any) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    listed, place = np.nonzero(items >= 0)
    known = pl.Series("known", ranker.choices.known_people(asked))
    keys = asked.select(*ranker.ranking.by, "decided_at").with_columns(known)[listed]
    names = ranker.choices.items[ranker.ranking.item][items[listed, place]]
    told = keys.with_columns(pl.Series("place", place + 1), names, pl.Series("score", scores[listed, place]))
    return told.select(*ranker.ranking.by, "decided_at", "place", ranker.ranking.item, "score", "known")


def settled_lists(project: Project, plan: FeaturePlan, lists: Sequence[Listed], now: datetime) -> pl.DataFrame:
    """Return what became of lists whose span has ended.

    Returns
    -------
    pl.DataFrame
        ``key`` (the answer's id), ``label`` (how many items were chosen that could have been listed),
        ``label_known_at``, and ``numbers``, of each place whether its item was chosen.
    """
    import polars as pl

    assert plan.ranking is not None
    by_now = to_micros(now) - plan.ranking.within_us
    over = [each for each in lists if each.at_us <= by_now]
    ranker = _ranker(project, plan, (plan.rows_table, plan.ranking.candidates))
    chosen = ranker.outcomes(_asked(plan, over), known_by=to_micros(now))
    k = plan.ranking.k
    rows = []
    for each, found in zip(over, chosen, strict=True):
        hits = [float(item in found) for item in each.items[:k]]
        known_at = from_micros(each.at_us + plan.ranking.within_us)
        rows.append((each.id, float(len(found)), known_at, hits + [0.0] * (k - len(hits))))
    instant = pl.Datetime("us", "UTC")
    places = pl.List(pl.Float64)
    schema: dict[str, Any] = {"key": pl.String, "label": pl.Float64, "label_known_at": instant, "numbers": places}
    return pl.DataFrame(rows, schema=schema, orient="row")


def outcome_of_list(project: Project, plan: FeaturePlan, said: Prediction, now: datetime) -> dict[str, Any] | None:
    """Say what was chosen after a list, once its span has ended."""
    assert plan.ranking is not None
    ends = from_micros(said.at_us) + timedelta(microseconds=plan.ranking.within_us)
    if now < ends:
        return None
    ranker = _ranker(project, plan, (plan.rows_table, plan.ranking.candidates))
    (chosen,) = ranker.outcomes(_asked(plan, [Listed("", said.at_us, said.key, [])]), known_by=to_micros(now))
    return {"label": chosen, "known_at": ends.isoformat()}


def _ranker(project: Project, plan: FeaturePlan, names: Sequence[str]) -> Ranker:
    from millstream.training.lists import Ranker

    return Ranker(plan, {name: project.lake.read(name) for name in names}, project.engine)


def _asked(plan: FeaturePlan, lists: Sequence[Listed]) -> pl.DataFrame:
    """Lay out who asked when."""
    import polars as pl

    from millstream.expressions.door import value
    from millstream.features.facts import COLUMN

    assert plan.ranking is not None
    columns = []
    for name, dtype in zip(plan.ranking.by, plan.ranking.by_types, strict=True):
        taken = [value(each.key[name], dtype, where=f"{name!r} of a logged key") for each in lists]
        physical = pl.Int64 if COLUMN[dtype].is_temporal() else COLUMN[dtype]
        columns.append(pl.Series(name, taken, dtype=physical).cast(COLUMN[dtype]))
    at = pl.Series("decided_at", [each.at_us for each in lists], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame([*columns, at])
