"""What an inspection found."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Parameters
    ----------
    ok
        Whether it is as it should be.
    subject
        What was looked at: ``flights@12``, a table or a file.
    says
        What was found, in words.
    """

    ok: bool
    subject: str
    says: str
