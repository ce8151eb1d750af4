"""Who answers, and who steps in."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Fallback: TypeAlias = Literal["previous", "baseline"]


class Champion(msgspec.Struct, frozen=True):
    """One live release answers every request.

    Parameters
    ----------
    fallback
        Who answers, in order, when the champion fails or is late; such answers say so.
    deadline_ms
        By when a caller has an answer.
    strict
        Whether a request that breaks the contract of the rows' table is refused; otherwise it is answered, and the
        answer says so in ``warnings``.
    """

    fallback: tuple[Fallback, ...] = ("previous", "baseline")
    deadline_ms: float = 100.0
    strict: bool = False
