"""What kind of answer a model gives. Follows the label's type unless given."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Binary(msgspec.Struct, frozen=True, tag="binary"):
    """The answer is the probability that the label is true. Baseline: the prior."""


class Regression(msgspec.Struct, frozen=True, tag="regression"):
    """The answer is the mean of the label. Baseline: the median."""


Task: TypeAlias = Binary | Regression
