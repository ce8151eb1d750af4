"""How served features are shown."""

from __future__ import annotations

from typing import Any

from millstream.cli.drawing import number, say


def served(views: list[dict[str, Any]]) -> None:
    """Say of each served view what it keeps and reflects."""
    for each in views:
        if each["stopped"]:
            say(f"served features {each['view']} are not kept: {each['stopped']}", tone="bad")
            continue
        waits = f", {number(each['waiting'])} facts wait" if each["waiting"] else ""
        posted = f" and {number(each['posted'])} posted facts" if each["posted"] else ""
        say(
            f"served features [bold]{each['view']}[/]: {number(each['entities'])} entities, "
            f"{each['bytes'] / 1e6:,.1f} MB, {each['table']}@{each['version']}{posted}, "
            f"applied {str(each['applied_at'])[:19]}{waits}",
            tone="warn" if waits else "good",
        )
