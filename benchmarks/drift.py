"""New rows against old: ``drift-profile`` (the old ones' profile is stored) and ``drift-both`` (it is taken first).

Ours gives divergences, null shares and means of every column. The limit is the least it takes in numpy: sort each
column and count it in 20 bins.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Work

COLUMNS, BEFORE, NOW, BINS = 25, 200_000, 100_000, 20


def setup() -> dict[str, Any]:
    """Make both frames and the profile of the old one."""
    import numpy as np

    from millstream.metrics.profile import profile

    rng = np.random.default_rng(7)
    before, now = ({f"c{each}": rng.normal(size=rows) for each in range(COLUMNS)} for rows in (BEFORE, NOW))
    edges = {name: np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]) for name, values in before.items()}
    return {"before": before, "now": now, "profile": profile(before, bins=BINS), "edges": edges}


def against_profile(given: dict[str, Any]) -> object:
    """Count and compare."""
    stored = given["profile"]
    return stored.drift(stored.counts(given["now"]))


def against_rows(given: dict[str, Any]) -> object:
    """Take the profile too."""
    from millstream.metrics.profile import profile

    stored = profile(given["before"], bins=BINS)
    return stored.drift(stored.counts(given["now"]))


def bare_profile(given: dict[str, Any]) -> object:
    """Sort and count."""
    import numpy as np

    return [np.diff(np.searchsorted(np.sort(given["now"][name]), edges)) for name, edges in given["edges"].items()]


def bare_rows(given: dict[str, Any]) -> object:
    """Sort both, cut and count."""
    import numpy as np

    found = []
    for name, values in given["before"].items():
        before, now = np.sort(values), np.sort(given["now"][name])
        edges = before[np.arange(1, BINS) * BEFORE // BINS]
        found.append((np.searchsorted(before, edges), np.searchsorted(now, edges)))
    return found


SIZE = f"{NOW:,} rows x {COLUMNS}"
WORKS = {
    "drift-profile": Work("drift-profile", SIZE, setup, against_profile, bare_profile),
    "drift-both": Work("drift-both", f"{BEFORE:,} against {SIZE}", setup, against_rows, bare_rows),
}
