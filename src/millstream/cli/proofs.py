"""Lines about what was reported and what was proved: text and tone, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_OF_REPORTS = {
    "reported": ("predictions have an outcome that was reported", "good"),
    "contradicted": ("reported outcomes say otherwise than the tables, which count", "warn"),
    "waiting": ("reported outcomes wait for a prediction that nobody has seen", "warn"),
}


def reports(told: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Say what became of outcomes that came over HTTP, as the last judged day left them; nothing where none came."""
    for name, (says, tone) in _OF_REPORTS.items():
        if told[name]:
            yield f"{told[name]:,} {says}", tone


def outcome(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say what became true of one answer; every report, where a later one or a table said otherwise."""
    told, reported = record["outcome"], record["reported"]
    if told is None:
        return
    yield f"what happened: {told['label']}, known {told['known_at'][:16]}, told by {told['told_by']}", ""
    if any(str(each["label"]) != str(told["label"]) for each in reported):
        for each in reported:
            yield f"reported {each['known_at'][:16]}: {each['label']}", "warn"


def parity(stands: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Say what the last nightly proof of what was served found; nothing before the first."""
    if stands is None or not stands["answers"]:
        return
    tone = {"ok": "good", "alarm": "bad"}.get(stands["verdict"], "warn")
    yield f"{stands['day']}: {stands['says']}", tone
    if moved := stands["late"] + stands["unseen"]:
        why = "facts came late" if stands["late"] else "what is served had not seen facts that were there"
        yield f"{moved:,} of them would read otherwise in training today: {why}", ""
    if unproved := sum(stands["unproved"].values()):
        yield f"{unproved:,} could not be computed again: {'; '.join(stands['unproved'])}", "warn"


def head(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say where the ledger ends, and what keeping that elsewhere is good for."""
    now, kept = record["head"], record["anchor"]
    if kept is not None:
        yield f"ledger head {kept['sequence']}:{kept['hash']} is kept in {kept['path']}", "good"
    elif now is not None:
        yield f"ledger head {now['sequence']}:{now['hash']}", ""
        yield "    kept elsewhere it shows a cut tail: millstream verify --anchor FILE", ""
