"""The proof that what was served is what a point-in-time read gives: vector by vector, value by value.

``recompute`` computes vectors again, ``compare`` says which values differ, ``causes`` why.
"""

from millstream.monitoring.parity.causes import Cause, Evidence, explain
from millstream.monitoring.parity.compare import Compared, compare, summed
from millstream.monitoring.parity.recompute import How, Recompute, Stack, State

__all__ = ["Cause", "Compared", "Evidence", "How", "Recompute", "Stack", "State", "compare", "explain", "summed"]
