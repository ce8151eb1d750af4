"""Refresh a table made by a step, so that it can be killed at it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tests.lake.house import House, planes


def main() -> None:
    from tests.lake.test_steps import cheap

    with contextlib.suppress(KeyboardInterrupt):
        House(Path(sys.argv[1])).lake([planes(), cheap()]).refresh(actor="child")


if __name__ == "__main__":
    main()
