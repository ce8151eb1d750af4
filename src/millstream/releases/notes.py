"""Notes people leave at a decision, before and after it is taken. Names are asserted, not yet authenticated."""

from __future__ import annotations

from millstream.errors import UserError
from millstream.releases.desk import Desk, named
from millstream.state import decisions, notes, releases
from millstream.state.notes import Note

LIMIT = 2000
"""Characters of a note."""


def add_note(desk: Desk, decision: int, text: str, *, by: str) -> Note:
    """Keep a note with a decision, and append its ledger row.

    Raises
    ------
    NotFound
        When there is no such decision.
    UserError
        When name or text is empty, or the text is longer than 2,000 characters.
    """
    by, text = named(by, "the name of who writes"), named(text, "the note")
    if len(text) > LIMIT:
        raise UserError(
            f"the note has {len(text):,} characters",
            expected=f"at most {LIMIT:,}",
            do="keep the long text elsewhere and say here where it lies",
        )
    about = decisions.get(desk.state, decision)
    row = releases.get(desk.state, about.release)
    with desk.state.transact() as tx:
        at = desk.now()
        made = notes.add(tx, about.id, at=at, by=by, text=text)
        detail = {"decision": about.id, "release": row.id, "note": made, "says": text}
        desk.ledger.append(tx, actor=by, act="decision.note", subject=row.name, detail=detail)
    return Note(made, about.id, at, by, text)
