"""How served features are shown."""

from __future__ import annotations

from typing import Any

from millstream.cli.drawing import age, number, say


def served(views: list[dict[str, Any]]) -> None:
    """Say of each served view what it keeps and reflects."""
    for each in views:
        if each["stopped"]:
            say(f"served features {each['view']} are not kept: {each['stopped']}", tone="bad")
            continue
        since = each["waiting_seconds"]
        oldest = f", the oldest for {seconds(since)}" if since is not None else ""
        waits = f", {number(each['waiting'])} facts wait{oldest}" if each["waiting"] else ""
        took = each["usable_seconds"]
        usable = f"; facts of {each['table']} {usual(took)}" if took else ""
        posted = f" and {number(each['posted'])} posted facts" if each["posted"] else ""
        say(
            f"served features [bold]{each['view']}[/]: {number(each['entities'])} entities, "
            f"{each['bytes'] / 1e6:,.1f} MB, {each['table']}@{each['version']}{posted}, "
            f"applied {str(each['applied_at'])[:19]}{waits}{usable}",
            tone="warn" if waits else "good",
        )


def usual(took: dict[str, Any]) -> str:
    """Say how long facts usually took to be usable, from when they came."""
    most = f"99 % of the last {number(took['facts'])} within {seconds(took['p99'])}"
    return f"are usable after {seconds(took['p50'])}, {most}"


def seconds(said: float) -> str:
    """Write a wait: to the hundredth of a second while it is short.

    >>> seconds(0.0412), seconds(75.0)
    ('0.04 s', '1 min')
    """
    return f"{said:.2f} s" if said < 10 else age(said)
