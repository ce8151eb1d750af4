"""How well what is flagged agrees with what is known: a look from outside, which no training ever takes.

python _how_well.py scores.parquet
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from millstream.metrics import roc_auc


def how_well(scores: Path, known: Path) -> dict[str, float]:
    """Compare scores with the known anomalies: how they rank, what share of the flagged is right, what share is found.

    Parameters
    ----------
    scores
        What ``millstream score odd --out FILE`` wrote.
    known
        The known anomalies.
    """
    both = pl.read_parquet(scores).join(pl.read_parquet(known), on="reading_id", how="inner", validate="1:1")
    flagged = both.filter(pl.col("flagged"))
    return {
        "rows": float(both.height),
        "roc_auc": roc_auc(both["anomaly"].to_numpy(), both["value"].to_numpy()),
        "flagged": flagged.height / both.height,
        "right": float(flagged["anomaly"].sum()) / max(flagged.height, 1),
        "found": float(flagged["anomaly"].sum()) / float(both["anomaly"].sum()),
    }


if __name__ == "__main__":
    said = how_well(Path(sys.argv[1]), Path(__file__).parent / "known" / "anomalies.parquet")
    print(
        f"{said['rows']:,.0f} readings: ranked with a roc_auc of {said['roc_auc']:.3f}; {said['flagged']:.1%} flagged, "
        f"{said['right']:.0%} of them known anomalies, which finds {said['found']:.0%} of all"
    )
