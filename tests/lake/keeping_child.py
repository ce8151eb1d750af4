"""Clean or compact a project's lake, in a process that can be killed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from millstream.lake.housekeeping.cleaning import carry_out
from millstream.lake.housekeeping.compact import compact
from tests.lake.house import House, planes
from tests.lake.test_cleaning import planned


def main() -> None:
    house = House(Path(sys.argv[1]))
    house.clock.at = datetime(2013, 6, 1, tzinfo=UTC)
    lake = house.lake([planes()])
    if sys.argv[2] == "compact":
        compact(lake, "answers", actor="child")
    else:
        carry_out(lake.catalog, planned(lake), actor="child")
    print("done", flush=True)


if __name__ == "__main__":
    main()
