"""A decision in plain words, for somebody who runs the business: every figure is read from the verdict.

The verdict a question was asked with holds the comparisons of the gate and, as ``effect``, what the candidate would
have done to the rows it was judged on. A question asked before either was kept says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from millstream.definitions.tasks import HORIZON

Said = dict[str, str]
_FEW_DAYS = 10
_MONTH_DAYS = 28


def short(verdict: Mapping[str, Any]) -> str:
    """Say in one sentence how good the candidate is beside today's model and the simple rule; empty if unknown."""
    effect = verdict.get("effect")
    if not effect:
        return ""
    if effect["kind"] == "numbers":
        return _misses(effect)
    return _hits(effect)


def answers(
    verdict: Mapping[str, Any], *, name: str, model: str, live: str | None, status: str, retrain: str
) -> list[Said]:
    """Answer what a person asks before saying yes.

    Parameters
    ----------
    verdict
        The gate's, as kept with the question.
    name, model
        Of the release asked about (``late@3``), and its model.
    live
        Name of what answers now; None where nothing does.
    status
        Of the decision: one that is taken is told in the past.
    retrain
        When the model is trained again, in words; empty for never by itself.

    Returns
    -------
    list of dict
        ``question``, ``answer`` and ``tone`` (``good``, ``warn``, ``bad`` or empty), in the order people ask.
    """
    compared = {
        ("baseline" if each["against"] == "baseline" else "today"): each for each in verdict.get("comparisons", ())
    }
    effect = verdict.get("effect") or {}
    said = [_said("What changes, and for whom?", _changes(effect, name=name, model=model, live=live, status=status))]
    if "today" in compared:
        theirs = compared["today"]["against"]
        word, tone = _better(compared["today"])
        number = _beside(effect, "champion", theirs) or _goal(verdict, compared["today"], theirs)
        said.append(_said(f"Is it better than {theirs}?", f"{word}{number}", tone))
    elif live is not None and status == "waiting":
        said.append(_said(f"Is it better than {live}?", "Nobody compared the two on the same rows.", "warn"))
    if "baseline" in compared:
        word, tone = _better(compared["baseline"])
        rule = "the simple rule"
        number = _beside(effect, "baseline", rule) or _goal(verdict, compared["baseline"], rule)
        said.append(_said(f"Is it better than {rule}?", f"{word}{number}", tone))
    if verdict.get("segments"):
        named = [each["named"] for each in verdict["segments"] if each["standing"] == "worse"]
        said.append(_said("Is it worse for somebody?", segments_say(verdict), "warn" if named else ""))
    said.append(_sure(verdict, compared, effect))
    if effect.get("change") or effect.get("kind") in ("flags", "numbers"):
        question = f"What would it have done {_span(effect)}?"
        said.append(_said(question, _lately(effect, compared["today"]["against"] if "today" in compared else "today")))
    if effect.get("kind") == "flags":
        said.append(_said("How often is it wrong?", _wrong(effect)))
    if status == "waiting":
        said.append(_said("Can it be taken back?", _back(live, model=model)))
        said.append(_said("What happens if I say no?", _no(live, model=model, retrain=retrain)))
    return said


def _span(effect: Mapping[str, Any]) -> str:
    if not effect["days"]:
        return "on data it had not seen"
    return "in the last month" if effect["days"] >= _MONTH_DAYS else f"in the last {effect['days']} days judged"


_STANDS = {
    "worse": "surely worse",
    "better": "surely better",
    "unsure": "no difference beyond chance",
    "few": "too few rows to say",
}


def segments(verdict: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lay the verdict's segments out for people: whom, beside whom, both values, how much better, how sure."""
    found = []
    for each in verdict.get("segments", ()):
        if each["column"] == HORIZON:
            continue
        gain = "·" if each["gain"] is None else f"{each['gain']:+.4f} ({each['low']:+.4f} to {each['high']:+.4f})"
        found.append(
            {
                "for": each["named"],
                "beside": "the simple rule" if each["against"] == "baseline" else each["against"],
                "this": _value(each["candidate"]),
                "theirs": _value(each["other"]),
                "gain, 99 % sure": gain,
                "rows": f"{each['rows']:,}",
                "days": str(each["days"]),
                "in short": _STANDS[each["standing"]],
            }
        )
    return found


def by_horizon(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lay out how a forecast does by how many ticks ahead its target lies: its own value, and those of the others."""
    found: dict[int, dict[str, Any]] = {}
    for each in verdict.get("segments", ()):
        if each["column"] == HORIZON:
            row = found.setdefault(int(each["value"]), {"ahead": each["value"], "challenger": each["candidate"]})
            row["baseline" if each["against"] == "baseline" else "champion"] = each["other"]
            row["worse"] = row.get("worse", False) or each["standing"] == "worse"
    return [found[step] for step in sorted(found)]


def segments_say(verdict: Mapping[str, Any]) -> str:
    """Say for whom the candidate is surely worse, and of how many segments; empty for a model without segments."""
    judged = [each for each in verdict.get("segments", ()) if each["standing"] != "few"]
    if not verdict.get("segments"):
        return ""
    if not judged:
        return "Every segment has too few rows to say anything."
    others = dict.fromkeys(each["against"] for each in judged)
    said = []
    for name in others:
        mine = [each for each in judged if each["against"] == name]
        worse = [each["named"] for each in mine if each["standing"] == "worse"]
        whom = f"surely worse for {', '.join(worse)}" if worse else "for none surely worse"
        said.append(
            f"Beside {'the simple rule' if name == 'baseline' else name} it is {whom}, of {len(mine)} looked at."
        )
    return " ".join([*said, "Corrected for looking at so many: one is named wrongly in at most 5 of 100 verdicts."])


def _value(value: float | None) -> str:
    return "·" if value is None else f"{value:.4f}"


def _changes(effect: Mapping[str, Any], *, name: str, model: str, live: str | None, status: str) -> str:
    rows = _rows(effect)
    whom = f"everybody who asks {model} about {rows}" if rows else f"everybody who asks {model}"
    if effect.get("kind") == "lists":
        rows, whom = "lists", f"everybody who asks {model} for {effect['k']} {rows}"
    if status != "waiting":
        return f"This was about {name}, for {whom}."
    if live is None:
        return f"If you say yes, {name} begins to answer {whom}. Until then no model does."
    said = f"If you say yes, {name} answers {whom}, in place of {live}. They need to change nothing."
    change = effect.get("change")
    if change:
        per = _per_100(change["rows"], effect["rows"])
        how = "decided differently" if effect["kind"] == "flags" else "answered clearly differently"
        if effect["kind"] == "lists":
            return f"{said} About {per} of 100 lists would hit where {live} misses, or the other way round."
        said += f" About {per} of 100 {rows or 'answers'} would be {how}."
    return said


def _better(compared: Mapping[str, Any]) -> tuple[str, str]:
    gain, low, high = compared["gain"], compared["low"], compared["high"]
    if gain is None or low is None or high is None:
        return f"That cannot be told. {compared['says']}", "warn"
    if low > 0:
        return "Yes, surely.", "good"
    if high < 0:
        return "No, it is surely worse.", "bad"
    if gain < 0 and not compared["passed"]:
        return "No, it looks worse.", "bad"
    return (
        "Perhaps: the difference may be chance." if gain > 0 else "About as good: no difference beyond chance."
    ), "warn"


def _beside(effect: Mapping[str, Any], side: str, name: str) -> str:
    ours, theirs = effect.get("candidate"), effect.get(side)
    if not ours or not theirs:
        return ""
    if effect["kind"] == "numbers":
        one, other = _figures(ours["miss"], theirs["miss"])
        return f" It is off by {one} on average, {name} by {other}."
    one, other = _pair(_precision(ours), _precision(theirs))
    if effect["kind"] == "lists":
        return f" Of 100 of its lists, {one} hold at least one of the {_hit(effect)}; of 100 of {name}, {other}."
    return f" Of 100 {_rows(effect)} it flags, {one} {_true(effect)}; of 100 that {name} flags, {other}."


def _goal(verdict: Mapping[str, Any], compared: Mapping[str, Any], name: str) -> str:
    """Say both values of the metric that decides, for an answer that no count of rows tells."""
    if compared["candidate"] is None or compared["other"] is None:
        return ""
    one, other = _figures(compared["candidate"], compared["other"])
    return f" By {verdict['goal']} it reaches {one}, {name} {other}."


def _hits(effect: Mapping[str, Any]) -> str:
    sides = [effect["candidate"], effect.get("champion"), effect["baseline"]]
    figures = _pair(*(_precision(each) for each in sides if each))
    names = ["Today", "With the simple rule"] if effect.get("champion") else ["With the simple rule"]
    beside = " ".join(f"{name}: {figure}." for name, figure in zip(names, figures[1:], strict=True))
    if effect["kind"] == "lists":
        return f"Of 100 of its lists, {figures[0]} hold at least one of the {_hit(effect)}. {beside}"
    return f"Of 100 {_rows(effect)} it flags, {figures[0]} {_true(effect)}. {beside}"


def _misses(effect: Mapping[str, Any]) -> str:
    sides = [each["miss"] for each in (effect["candidate"], effect.get("champion"), effect["baseline"]) if each]
    figures = _figures(*sides)
    names = ["Today", "With the simple rule"] if effect.get("champion") else ["With the simple rule"]
    beside = " ".join(f"{name}: {figure}." for name, figure in zip(names, figures[1:], strict=True))
    return f"It is off by {figures[0]} on average. {beside}"


def _sure(verdict: Mapping[str, Any], compared: Mapping[str, Any], effect: Mapping[str, Any]) -> Said:
    if not compared:
        return _said(
            "How sure is that?", "Not at all: it was released without a backtest, so nobody measured it.", "bad"
        )
    first = compared["baseline"] if "baseline" in compared else next(iter(compared.values()))
    lists = effect.get("kind") == "lists"
    rows, blocks = ("lists", "people") if lists else (_rows(effect) or "rows", "days")
    drawn = blocks
    if first["days"]:
        says = (
            f"Its recipe was judged on {first['rows']:,} {rows} {'for' if lists else 'of'} {first['days']} {blocks},"
            " fitted each time only on what was known before them."
        )
    else:
        drawn = "rows"
        says = (
            f"Its recipe was judged on {first['rows']:,} {rows}, fitted each time on others. They have no time, so this"
            " tells how it does on others like them, not on later ones."
        )
    if lists:
        says += " Each list was made of everything that could have been listed then; only what was chosen counts."
    beside = compared.get("today", first)
    if 0 < beside["rows"] < first["rows"]:
        says += (
            f" {beside['against']} is compared on the {beside['rows']:,} of them that it had not learnt from either."
        )
    draws = []
    for key, name in (("today", ""), ("baseline", "the simple rule")):
        worse = compared.get(key, {}).get("probability_worse")
        if worse is not None:
            draws.append(f"better than {name or compared[key]['against']} in {int(100 * (1 - worse))}")
    if draws:
        says += f" Were those {drawn} drawn anew 100 times, it would be {' and '.join(draws)} of them."
    few = 0 < first["days"] < _FEW_DAYS
    if few:
        says += f" That is few {blocks}: take it as rough."
    return _said("How sure is that?", says, "warn" if few else "")


def _lately(effect: Mapping[str, Any], today: str) -> str:
    change, of, rows = effect["change"], f"{effect['rows']:,}", _rows(effect)
    span = f"From {_day(effect['since'])} to {_day(effect['until'])}" if effect["days"] else f"On {of} {rows}"
    flagged = "the tenth it rates highest" if effect["share"] else f"a chance of {effect['threshold'] or 0:.4g} or more"
    if change is None:
        return _alone(effect, span, flagged)
    if effect["kind"] == "numbers":
        nearer = _per_100(change["closer"], effect["rows"])
        said = f"{span}: {change['rows']:,} of {of} answers would have been clearly different (by more than {today}'s"
        return f"{said} usual miss), and it was nearer to the truth than {today} in {nearer} of 100."
    if effect["kind"] == "lists":
        return (
            f"{span}: of {of} lists judged it would have hit with {change['added']:,} where {today} missed, and missed"
            f" with {change['dropped']:,} where {today} hit. A hit is a list with at least one of the {_hit(effect)}."
        )
    own = effect.get("champion_threshold")
    if effect["threshold"] is not None and own not in (None, effect["threshold"]):
        flagged += f" (by {today} of {own:.4g} or more)"
    added, dropped = (f"{change[each]:,}" for each in ("added", "dropped"))
    true, others = (f"{change[each]:,}" for each in ("added_right", "dropped_right"))
    return (
        f"{span}: {change['rows']:,} of {of} {rows} would have been decided differently. It flags {added} that {today}"
        f" lets pass, and {true} of those {_true(effect, past=True)}; it lets pass {dropped} that {today} flags, and"
        f" {others} of those did. Flagged here is {flagged}."
    )


def _alone(effect: Mapping[str, Any], span: str, flagged: str) -> str:
    """Say what a candidate would have done where no model answered."""
    of, side = f"{effect['rows']:,} {_rows(effect)}", effect["candidate"]
    it = f"{span}: it" if effect["days"] else "It"
    if effect["kind"] == "numbers":
        (miss,) = _figures(side["miss"])
        return f"{it} would have answered for {of}, off by {miss} on average."
    if effect["kind"] == "lists":
        made = f"{it} would have made {effect['rows']:,} lists"
        return f"{made}, and {_count(side['right'])} of those would have held at least one of the {_hit(effect)}."
    return (
        f"{it} would have flagged {_count(side['flagged'])} of {of}, and {_count(side['right'])} of those"
        f" {_true(effect, past=True)}. Flagged here is {flagged}."
    )


def _wrong(effect: Mapping[str, Any]) -> str:
    side, parts = effect["candidate"], []
    if side["flagged"]:
        parts.append(
            f"Of 100 it flags, {_per_100(side['flagged'] - side['right'], side['flagged'])} turn out otherwise."
        )
    if effect["came_true"]:
        missed = _per_100(effect["came_true"] - side["right"], effect["came_true"])
        parts.append(f"Of 100 that turn out so, it lets pass {missed}.")
    return " ".join(parts) or "That cannot be told: nothing was flagged, and nothing turned out so."


def _back(live: str | None, *, model: str) -> str:
    if live is None:
        return f"There is no version before it to return to. When {model} cannot answer, the simple rule does."
    return f"Yes, in seconds and whole: Roll back puts {live} back. It was rehearsed before you were asked."


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _no(live: str | None, *, model: str, retrain: str) -> str:
    now = "No model answers, as now." if live is None else f"Nothing changes for anybody: {live} goes on answering."
    by_hand = f"Nothing is trained by itself; `millstream retrain {model}` makes the next one."
    return f"{now} {retrain or by_hand}"


def _said(question: str, answer: str, tone: str = "") -> Said:
    return {"question": question, "answer": answer, "tone": tone}


def _rows(effect: Mapping[str, Any]) -> str:
    """Name rows in the plural, by their table where that reads as one.

    >>> _rows({"of": "late_flights"}), _rows({"of": "telecom"}), _rows({})
    ('late flights', 'rows of telecom', '')
    """
    name = str(effect.get("of", "")).replace("_", " ")
    plural = not name or (name.endswith("s") and not name.endswith("ss"))
    return name if plural else f"rows of {name}"


def _true(effect: Mapping[str, Any], *, past: bool = False) -> str:
    outcome = f" ({effect['outcome']})" if effect.get("outcome") and not past else ""
    return f"{'turned' if past else 'turn'} out so{outcome}"


def _hit(effect: Mapping[str, Any]) -> str:
    outcome = f" ({effect['outcome']})" if effect.get("outcome") else ""
    return f"{_rows(effect)} then chosen{outcome}"


def _precision(side: Mapping[str, Any]) -> float | None:
    return 100 * side["right"] / side["flagged"] if side["flagged"] else None


def _pair(*values: float | None) -> list[str]:
    """Round figures of 100, with a digit more where two that differ would look alike.

    >>> _pair(43.6, 41.8, 23.3), _pair(43.6, 43.9, None)
    (['44', '42', '23'], ['43.6', '43.9', 'none are flagged'])
    """
    known = [each for each in values if each is not None]
    alike = len({round(each) for each in known}) < len({round(each, 6) for each in known})
    return ["none are flagged" if each is None else f"{each:.{int(alike)}f}" for each in values]


def _figures(*values: float) -> list[str]:
    """Write numbers of one unit with as many digits as tell them apart.

    >>> _figures(12.34, 12.41), _figures(1234.5, 1300.0)
    (['12.3', '12.4'], ['1,230', '1,300'])
    """
    for digits in range(3, 7):
        said = [f"{float(f'{each:.{digits}g}'):,.10g}" for each in values]
        if len(set(said)) == len({round(each, 9) for each in values}):
            return said
    return said


def _per_100(count: float, of: float) -> str:
    share = 100 * count / of if of else 0.0
    return "fewer than 1" if 0 < share < 0.5 else f"{share:.0f}"


def _day(day: str) -> str:
    at = date.fromisoformat(day)
    return f"{at.day} {at:%B %Y}"
