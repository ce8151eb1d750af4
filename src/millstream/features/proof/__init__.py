"""The slow, plain recomputation of features from raw facts: what an audit believes, and shares no code with the join.

``facts`` cuts a table at an instant and says what was believed then, row by row; ``aggregates`` evaluates a window
over those rows with exact fractions; ``cells`` recomputes a row's features and names the fact behind a difference.
Nothing here searches, sorts in bulk or sums prefixes: every rule stands as ``docs/features.md`` says it.
"""

from __future__ import annotations

from millstream.features.proof.cells import Behind, Cell, Recomputed
from millstream.features.proof.facts import Raw

__all__ = ["Behind", "Cell", "Raw", "Recomputed"]
