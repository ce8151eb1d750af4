"""What kind of answer a model gives. Follows the label's type unless given.

A truth value gives ``Binary``, a text ``Multiclass``, a number ``Regression``, no label ``Anomaly``. Whole numbers are
never guessed to be classes: say ``task=tasks.Multiclass()`` where they are.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from millstream.definitions.rows import read_length
from millstream.definitions.table import Table
from millstream.errors import DefinitionError
from millstream.types import parse_duration

TaskName: TypeAlias = Literal["binary", "regression", "multiclass", "quantiles", "anomaly", "clusters", "topk"]


class Binary(msgspec.Struct, frozen=True, tag="binary"):
    """The answer is the probability that the label is true. Baseline: the prior."""


class Regression(msgspec.Struct, frozen=True, tag="regression"):
    """The answer is the mean of the label. Baseline: the median."""


class Multiclass(msgspec.Struct, frozen=True, tag="multiclass"):
    """The answer is the most probable class, with the probability of each. Baseline: the share of each class."""


class Quantiles(msgspec.Struct, frozen=True, tag="quantiles"):
    """The answer is a range: the label's quantiles. Baseline: the quantiles of all labels.

    Parameters
    ----------
    levels
        Which, between 0 and 1; 0.5 must be among them, because it is the answer's ``value``.
    """

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)

    def __post_init__(self) -> None:
        if 0.5 not in self.levels or list(self.levels) != sorted({*self.levels}) or not _inside(*self.levels):
            raise DefinitionError(
                f"tasks.Quantiles(levels={self.levels})", expected="rising levels between 0 and 1 with 0.5 among them"
            )


class Forecast(msgspec.Struct, frozen=True, tag="forecast"):
    """The answer is the number to expect at an instant ahead. Baseline: the same of a season ago (seasonal naive).

    What a number label under a horizon gets by default. The simple rule says what was known at the decision of the
    last season that had closed by then: under a season of a week, last Tuesday's sales for a Tuesday of this week, and
    those of four Tuesdays ago for one four weeks ahead.

    Parameters
    ----------
    season
        A length of the calendar after which what happens looks alike: ``"7d"``, ``"24h"``, ``"12mo"``. Left out, it
        follows the step: a day for hours, a week for days, a year (``"52w"``, ``"12mo"``) for weeks and months.
    levels
        Quantiles to answer beside, as ``Quantiles`` has them; none when left out.
    """

    season: str | None = None
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.levels:
            Quantiles(self.levels)
        if self.season is not None and not read_length(self.season, where=f"season {self.season!r}")[0]:
            raise DefinitionError(f"tasks.Forecast(season={self.season!r})", expected="a length such as '7d'")


class Anomaly(msgspec.Struct, frozen=True, tag="anomaly"):
    """The answer is how unusual a row is; there is no label. Baseline: the robust distance of each feature.

    Parameters
    ----------
    share
        Share of the rows learnt from that counts as unusual; it sets the score above which an answer is flagged.
    """

    share: float = 0.01

    def __post_init__(self) -> None:
        if not _inside(self.share):
            raise DefinitionError(
                f"tasks.Anomaly(share={self.share})", expected="a share between 0 and 1, such as 0.01"
            )


class Clusters(msgspec.Struct, frozen=True, tag="clusters"):
    """The answer is the group a row belongs to; there is no label. Baseline: one group for all.

    Parameters
    ----------
    n
        How many groups. When left out: as many as the estimator is made for, else the number from 2 to 10 with the
        best silhouette on a sample of 2,000 rows.
    smallest
        Share of the rows that every group must have, for the gate to let the model pass.
    """

    n: int | None = None
    smallest: float = 0.01

    def __post_init__(self) -> None:
        if self.n is not None and (isinstance(self.n, bool) or self.n < 2):
            raise DefinitionError(
                f"tasks.Clusters({self.n!r})", expected="two groups or more, or none to have it chosen"
            )
        if not _inside(self.smallest):
            raise DefinitionError(f"tasks.Clusters(smallest={self.smallest})", expected="a share between 0 and 1")


class Ranking(msgspec.Struct, frozen=True, tag="topk"):
    """The answer is the best items for somebody, as ``TopK`` says it. Baseline: the most chosen items."""

    k: int
    item: str
    candidates: str
    by: tuple[str, ...] = ()
    within: str = "1d"
    exclude_seen: bool = True
    judged: int = 200

    def __post_init__(self) -> None:
        where = f"tasks.TopK({self.k}, item={self.item!r})"
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= MOST_LISTED:
            raise DefinitionError(f"{where} lists {self.k!r} items", expected=f"a whole number from 1 to {MOST_LISTED}")
        if self.judged < 1:
            raise DefinitionError(f"{where} has judged={self.judged}", expected="at least one list a cut")
        try:
            empty = not parse_duration(self.within)
        except ValueError as wrong:
            raise DefinitionError(f"{where}: within {wrong}") from None
        if empty:
            raise DefinitionError(f"{where}: within={self.within!r} is empty", expected="a length such as within='1d'")


MOST_LISTED = 200
"""A longer list is no recommendation."""


def TopK(  # noqa: N802 - an option object
    k: int,
    *,
    item: str,
    candidates: Table | str,
    by: str | tuple[str, ...] = (),
    within: str = "1d",
    exclude_seen: bool = True,
    judged: int = 200,
) -> Ranking:
    """Answer with the ``k`` items that somebody will most probably choose, best first.

    Parameters
    ----------
    k
        Items in a list.
    item
        Column of the rows that names the item chosen.
    candidates
        Table of the items there are, one a row; its key is the item. An item can be listed once it is known.
    by
        Columns of the rows that say who asks; left out, those that the features need and no item has.
    within
        How long after a list what is chosen speaks for or against it.
    exclude_seen
        Whether items that somebody is known to have chosen (whatever the label says of them) are left out.
    judged
        How many lists at most are made at each cut to be judged, each of all candidates known then.

    Notes
    -----
    Learnt from single choices: the estimator gives the probability that the label is true of one item, and a list is
    all candidates in that order. Of equally probable items the more often chosen comes first.

    Examples
    --------
    >>> TopK(10, item="movie_id", candidates="movies").k
    10
    """
    table = candidates if isinstance(candidates, str) else candidates.name
    named = (by,) if isinstance(by, str) else tuple(by)
    return Ranking(k, item, table, named, within, exclude_seen, judged)


Task: TypeAlias = Binary | Regression | Multiclass | Quantiles | Forecast | Anomaly | Clusters | Ranking

HORIZON = "horizon"
"""Segment of rows whose target lies so many ticks ahead."""

WITHOUT_LABEL: tuple[TaskName, ...] = ("anomaly", "clusters")
"""Tasks of models that are told no truth."""


class Shape(msgspec.Struct, frozen=True):
    """The shape of a trained model's answers: what its numbers are of.

    Parameters
    ----------
    task
        Which kind of answer.
    classes
        Names of the classes, in the order of their probabilities, of ``multiclass``; of ``clusters`` their numbers, in
        the order of their distances.
    levels
        Levels of the quantiles, in order; of ``quantiles`` only.
    k
        Items of a list; of ``topk`` only, whose model says one number a pair of somebody and an item.
    scale
        Mean absolute error of the seasonal naive rule, which ``mase`` is measured by; of forecasts only.
    """

    task: TaskName
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    k: int = 0
    scale: float | None = None

    @property
    def width(self) -> int:
        """Numbers an answer is made of."""
        return (self.task == "clusters") + (len(self.classes) or len(self.levels) or 1)

    @property
    def labelled(self) -> bool:
        """Whether there is a truth to compare with."""
        return self.task not in WITHOUT_LABEL


def name_of(task: Task) -> TaskName:
    """Return the name of the shape of a task's answers: a forecast is a number, or quantiles where it has levels.

    >>> name_of(Multiclass())
    'multiclass'
    """
    if isinstance(task, Forecast):
        return "quantiles" if task.levels else "regression"
    tag: TaskName = task.__struct_config__.tag  # type: ignore[assignment]
    return tag


def _inside(*shares: float) -> bool:
    return all(0 < each < 1 for each in shares)


class Cut(msgspec.Struct, frozen=True):
    """Where a probability becomes a decision: a fixed number, the best F1, or the least cost of wrong decisions.

    Parameters
    ----------
    at
        The probability from which on the decision is yes; None to choose it on the hold-out.
    fp, fn
        What a false yes and a false no cost, where the cost is to be least; None for the best F1.
    """

    at: float | None = None
    fp: float | None = None
    fn: float | None = None


_COST = re.compile(r"cost\(\s*fp\s*=\s*(?P<fp>[\d.]+)\s*,\s*fn\s*=\s*(?P<fn>[\d.]+)\s*\)")


def read_threshold(said: float | str) -> Cut:
    """Read what a definition says of its threshold.

    >>> read_threshold("cost(fp=1, fn=5)")
    Cut(at=None, fp=1.0, fn=5.0)

    Raises
    ------
    DefinitionError
        When it is none of the forms.
    """
    if said == "f1":
        return Cut()
    if isinstance(said, str):
        found = _COST.fullmatch(said.strip())
        if found and float(found["fp"]) > 0 and float(found["fn"]) > 0:
            return Cut(fp=float(found["fp"]), fn=float(found["fn"]))
    elif not isinstance(said, bool) and 0 <= said <= 1:
        return Cut(at=float(said))
    raise DefinitionError(f"threshold={said!r}", expected="a probability such as 0.4, 'f1' or 'cost(fp=1, fn=5)'")
