"""Refresh a table in partitions, so that it can be killed at it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lake.house import House


def main() -> None:
    from tests.lake.test_partitions import daily, sales

    House(Path(sys.argv[1])).lake([sales(), daily(step="made:daily")]).refresh(actor="child")


if __name__ == "__main__":
    main()
