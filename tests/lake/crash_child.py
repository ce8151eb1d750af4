"""Append batches 0, 1, 2 ... to a table of the lake's own; say each acknowledged one on a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from tests.lake.house import House, planes


def main() -> None:
    root, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    house = House(root)
    lake = house.lake([planes()])
    if sys.argv[4] == "ingest":
        lake.refresh(actor="child")
        print("ack", flush=True)
        return
    for number in range(first, first + count):
        rows = pl.DataFrame({"batch": [number] * 3, "row": [0, 1, 2]})
        lake.append("answers", rows, app_id="segment", app_version=number, actor="child")
        print(number, flush=True)


if __name__ == "__main__":
    main()
