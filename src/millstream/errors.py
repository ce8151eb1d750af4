"""Every error Millstream raises on purpose.

MillstreamError
├── UserError               exit 2, HTTP 400   what you gave cannot be used as it is
│   ├── DefinitionError     exit 2, HTTP 422   a definition is wrong (file, line and caret where known)
│   │   └── ExpressionError exit 2, HTTP 422   a row expression is wrong (caret, near matches)
│   ├── NotFound            exit 3, HTTP 404   no such table, model, version, prediction ...
│   ├── BadData             exit 2, HTTP 422   data does not have the schema, type or values it must have
│   ├── LeakError           exit 2, HTTP 422   a feature or label that was not known at its decision time
│   └── NotYet              exit 2, HTTP 501   declared in the design, not built yet
├── Refused                 exit 4, HTTP 403   not allowed: wrong person, no approval, unclean git
├── Conflict                exit 5, HTTP 409   somebody else changed it first; a lock is held; a port is in use
├── ContractBroken          exit 6, HTTP 422   a check of severity stop failed
├── GateFailed              exit 7, HTTP 422   a candidate did not pass its gate
├── IntegrityError          exit 8, HTTP 500   a hash, signature or chain does not hold
├── StorageFull             exit 9, HTTP 507   a disk refused a write; nothing was acknowledged
└── Unavailable             exit 10, HTTP 503  a part is not running or did not answer in time (terminal false)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self


class MillstreamError(Exception):
    """The root. A message says what happened, what was expected and what to do next.

    Parameters
    ----------
    happened
        What happened, with the values.
    expected
        What would have been right.
    do
        The next step, preferably an exact command.
    """

    exit_code = 1
    http_status = 500
    terminal = True

    def __init__(self, happened: str, *, expected: str = "", do: str = "") -> None:
        self.happened = happened
        self.expected = expected
        self.do = do
        super().__init__(happened, expected, do)

    def __str__(self) -> str:
        lines = [self.happened]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.do:
            lines.append(f"do next: {self.do}")
        return "\n".join(lines)

    def but(self, happened: str, *, do: str | None = None) -> Self:
        """Return the same error with other words of what happened, and of what to do where they are given."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.happened, made.do = happened, self.do if do is None else do
        made.args = (made.happened, made.expected, made.do)
        return made

    def problem(self) -> dict[str, object]:
        """Return the error as an RFC 9457 problem document."""
        return {
            "type": f"urn:millstream:{type(self).__name__}",
            "title": type(self).__name__,
            "status": self.http_status,
            "detail": self.happened,
            "expected": self.expected,
            "do": self.do,
        }


class UserError(MillstreamError):
    """What was given cannot be used as it is."""

    exit_code = 2
    http_status = 400


class DefinitionError(UserError):
    """A definition is wrong."""

    http_status = 422


class ExpressionError(DefinitionError):
    """A row expression is wrong."""


class NotFound(UserError):
    """Nothing has that name."""

    exit_code = 3
    http_status = 404


class BadData(UserError):
    """Data does not have the schema, type or values it must have."""

    http_status = 422


class LeakError(UserError):
    """A feature or label uses what was not known at its decision time."""

    http_status = 422


class NotYet(UserError):
    """The design has a word for it, this version does not do it."""

    http_status = 501


class Refused(MillstreamError):
    """The rules forbid it."""

    exit_code = 4
    http_status = 403


class Conflict(MillstreamError):
    """Somebody else changed it first, holds the lock or uses the port."""

    exit_code = 5
    http_status = 409


class ContractBroken(MillstreamError):
    """A check of severity ``stop`` failed."""

    exit_code = 6
    http_status = 422


class GateFailed(MillstreamError):
    """A candidate did not pass its gate."""

    exit_code = 7
    http_status = 422


class IntegrityError(MillstreamError):
    """A hash, a signature or a chain does not hold."""

    exit_code = 8
    http_status = 500


class StorageFull(MillstreamError):
    """A disk refused a write; nothing of it was acknowledged."""

    exit_code = 9
    http_status = 507


class Unavailable(MillstreamError):
    """A part is not running or did not answer in time; trying again may help."""

    exit_code = 10
    http_status = 503
    terminal = False


def near(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant: the closest known names, else the whole list.

    >>> near("carier", ["carrier", "origin"])
    "did you mean 'carrier'?"
    >>> near("form.speed", ["form.wind", "other.rain"])
    'there is: form.wind'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(each) for each in close)}?"
    if not names:
        return "there is none"
    family = [each for each in names if "." in name and each.startswith(f"{name.partition('.')[0]}.")]
    shown = ", ".join((family or names)[:20])
    return f"there is: {shown}" + (" ..." if len(family or names) > 20 else "")
