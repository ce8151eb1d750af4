"""Records as a person reads them in a terminal; one function a command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from millstream.cli import proofs
from millstream.cli.drawing import age, console, number, say, spark, table
from millstream.cli.online import served
from millstream.cli.tables import contract, ingest, made_lately, pin, refresh, standing, stopped
from millstream.cli.trusting import let_back, missing, quarantine, suggest
from millstream.cli.weighing import weighed

__all__ = ["ingest", "let_back", "missing", "pin", "quarantine", "refresh", "suggest"]

_MOST_LEFT_OUT = 12
_MOST_COLUMNS, _BARS_SHOWN = 100, 12


def init(record: dict[str, Any]) -> None:
    """Show what ``init`` wrote."""
    say(f"wrote [bold]{escape(record['folder'])}[/] from the example {record['example']}", tone="good")
    if record["git"] is None:
        say("there is no git here: a content-hashed snapshot stands in for commits", tone="warn")
    models = "".join(f"\n  millstream train {name}" for name in record["models"])
    console.print(f"\nnext:\n  cd {escape(record['folder'])}\n  millstream check{models}")


def started(record: dict[str, Any]) -> None:
    """Show what ``init`` wrote from data: what was guessed, what was left out, what comes next."""
    say(
        f"wrote [bold]{escape(record['folder'])}[/]: model {record['model']}, {record['features']} features",
        tone="good",
    )
    for each in record.get("tables", ()):
        when = f"time {each['event_time']}" if each["event_time"] else "rows without time"
        say(f"{each['table']}: {number(each['rows'])} rows, key {' + '.join(each['key'])}, {escape(when)}")
        for said in each["says"]:
            say(f"[dim]{escape(said)}[/]", indent=4)
        for old, new in list(each["renamed"].items())[:20]:
            say(f"[dim]{escape(repr(old))} is called {escape(new)} here[/]", indent=4)
    if "task" in record:
        say(f"a {record['task']} task: {escape(record['label'])}, judged by {record['goal']}")
    for said in record["said"]:
        say(f"[dim]{escape(said)}[/]", indent=4)
    left = record.get("left_out", ())
    for each in left[:_MOST_LEFT_OUT]:
        say(f"no feature: [bold]{escape(each['column'])}[/] [dim]{escape(each['why'])}[/]", tone="warn")
    if len(left) > _MOST_LEFT_OUT:
        say(f"and {len(left) - _MOST_LEFT_OUT:,} more, named in {record['model']}.py", tone="warn")
    for said in record["failed"]:
        say(f"a check fails already: {escape(said)}", tone="warn")
    if record["git"] is None:
        say("there is no git here: a content-hashed snapshot stands in for commits", tone="warn")
    model = record["model"]
    console.print(f"\nEvery guess is in {model}.py, with how to change it.\n")
    steps = (f"cd {escape(record['folder'])}", f"millstream train {model}", f"millstream release {model}",
             "MILLSTREAM_USER=somebody-else millstream approve -m REASON", "millstream up")  # fmt: skip
    console.print("next:\n" + "\n".join(f"  {each}" for each in steps))


def check(record: dict[str, Any]) -> None:
    """Show each contract, and what failed."""
    for each in record["reports"]:
        contract(each)
    stopped(record)
    if not record["reports"]:
        say("nothing arrived since the checks last ran", tone="good")


def train(record: dict[str, Any]) -> None:
    """Show the model beside its baseline, and what to do next."""
    learnt(record)
    weighed(record)
    verdict = record["verdict"]
    say(escape(verdict["says"]), tone="good" if verdict["passed"] else "warn")
    steps = (f"millstream release {record['model']}", f"millstream backtest {record['model']}")
    steps = steps if verdict["passed"] else steps[::-1]
    console.print(f"\nnext: {steps[0]}, or {steps[1]}")


def learnt(record: dict[str, Any]) -> None:
    """Show the model beside its baseline."""
    say(f"[bold]{record['model']}[/] version {record['version']} trained in {record['seconds']:.1f} s", tone="good")
    metrics = record["metrics"]
    table(
        "metric",
        "model",
        "baseline",
        rows=[(name, number(value), number(metrics["baseline"].get(name))) for name, value in metrics["model"].items()],
        right={1, 2},
    )
    counts = "  ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in record["counts"].items())
    console.print(f"rows: {counts}\ndata: {_pins(record['pins'])}\nrun:  {record['run_id']}  [dim]in MLflow[/]")


def register(record: dict[str, Any]) -> None:
    """Show what a logged model became, and what is known of it."""
    where = "a worker" if record["answers"] == "worker" else "the scoring server itself"
    name = f"[bold]{record['model']}[/] version {record['version']}"
    say(f"{name} is {record['logged']}, answered by {where}", tone="good")
    say(escape(record["verdict"]["says"]), tone="good" if record["verdict"]["passed"] else "bad")
    console.print(f"\nnext: millstream release {record['model']} --version {record['version']}")


def backtest(record: dict[str, Any]) -> None:
    """Show the verdict and the folds behind it."""
    say(escape(record["verdict"]["says"]), tone="good" if record["verdict"]["passed"] else "bad")
    folds = record["folds"]
    if folds:
        sides = list(folds[0]["metrics"])
        goal = record["goal"]
        table(
            "from",
            "rows",
            *sides,
            rows=[
                (each["cut"][:10], number(each["tested"]), *(number(each["metrics"][side].get(goal)) for side in sides))
                for each in folds
            ],
            right=set(range(1, 2 + len(sides))),
        )
    segments(record.get("segments", []))
    by_horizon(record.get("by_horizon", []))


def retrain(record: dict[str, Any]) -> None:
    """Show where a retraining stands."""
    tone = {"waiting": "warn", "live": "good", "failed": "bad", "rejected": "bad"}.get(record["status"], "")
    say(escape(record["says"]), tone=tone)
    if record.get("decision"):
        console.print(f"\nnext: millstream approve {record['decision']} -m REASON")


def release(record: dict[str, Any]) -> None:
    """Show a release and what it waits for."""
    say(f"release [bold]{record['model']}@{record['version']}[/] signed: {record['release'][:16]}", tone="good")
    say(escape(record["rehearsal"]), tone="good")
    for each in record["serving"]:
        say(escape(f"before it goes live, served features: {each}"), indent=2)
    if record["status"] == "approved":
        say(f"was approved by decision [bold]{record['decision']}[/], and is not live", tone="warn")
        console.print(f"\nnext: millstream approve {record['decision']} -m REASON")
        return
    say(f"waits for approval: decision [bold]{record['decision']}[/] (asked by {escape(record['by'])})", tone="warn")
    console.print(f"\nnext: MILLSTREAM_USER=somebody-else millstream approve {record['decision']} -m REASON")


def approve(record: dict[str, Any]) -> None:
    """Show a decision taken."""
    say(escape(record["says"]), tone="good" if record["status"] == "approved" else "warn")


reject = approve
rollback = approve


def note(record: dict[str, Any]) -> None:
    """Show that a note is kept."""
    say(escape(record["says"]), tone="good")


def decision(record: dict[str, Any]) -> None:
    """Show a decision in plain words."""
    title = f"decision [bold]{record['id']}[/]: may {escape(record['name'])} go live?"
    tone = {"waiting": "warn", "approved": "good", "rejected": "bad", "void": "bad"}[record["status"]]
    say(f"{title}  [dim]{_decided(record)}[/]", tone=tone)
    for each in record["answers"]:
        console.print(f"\n[bold]{escape(each['question'])}[/]")
        say(escape(each["answer"]), indent=2)
    if record["moved_on"]:
        say(escape(record["moved_on"]), tone="warn")
    segments(record["segments"])
    by_horizon(record["by_horizon"])
    console.print("\n[bold]Notes[/]")
    for each in record["notes"]:
        say(f"{escape(each['text'])}  [dim]{escape(each['by'])}, {each['at'][:16]}[/]", indent=2)
    say(f"[dim]leave one: millstream note {record['id']} -m TEXT[/]", indent=2)
    console.print("\n[bold]Evidence[/]")
    for each in record["evidence"]:
        say(f"{escape(each['says'])}: {escape(each['ref'])}  [dim]{escape(each['do'])}[/]", indent=2)
    if record["status"] == "waiting":
        console.print(
            f"\nnext: millstream approve {record['id']} -m REASON, or millstream reject {record['id']} -m REASON"
        )


def segments(rows: list[dict[str, str]]) -> None:
    """Show a candidate beside others for each segment; nothing for a model without segments."""
    if rows:
        console.print("\n[bold]By segment[/]")
        table(*rows[0], rows=[tuple(escape(each) for each in row.values()) for row in rows], right={2, 3, 4, 5, 6})


def by_horizon(rows: list[dict[str, Any]]) -> None:
    """Show a candidate beside others by how far ahead the target lies; nothing without a horizon."""
    sides = [side for side in ("champion", "baseline") if any(side in each for each in rows)]
    if rows:
        console.print("\n[bold]By how far ahead[/]")
        shown = [(each["ahead"], *(number(each.get(side)) for side in ("challenger", *sides))) for each in rows]
        table(
            "ahead",
            "this",
            *(side.replace("baseline", "the simple rule") for side in sides),
            rows=shown,
            right={1, 2, 3},
        )


def decisions(record: dict[str, Any]) -> None:
    """List decisions."""
    if not record["decisions"]:
        console.print("no decision was asked for yet: millstream release MODEL asks for one")
        return
    table(
        "",
        "about",
        "asked",
        "became",
        "notes",
        rows=[
            (each["id"], escape(each["name"]), each["asked_at"][:10], _decided(each), each["notes_count"])
            for each in record["decisions"]
        ],
        right={0, 4},
    )
    console.print(f"[dim]{record['waiting']} of {record['all']} wait[/]")
    if record["older"]:
        console.print(f"next: millstream decisions --before {record['older']}")


def _decided(record: dict[str, Any]) -> str:
    if record["decided_by"] is None:
        return "waits"
    simulated = " (simulated, no person)" if record["simulated"] and "simulated" not in record["decided_by"] else ""
    return f"{record['status']} by {escape(record['decided_by'])}{simulated}: {escape(record['reason'])}"


def ready(record: dict[str, Any]) -> None:
    """Show the eight points."""
    name = record["release"] or f"{record['model']}, which has no live release"
    say(f"[bold]{escape(name)}[/]: {record['yes']} of {len(record['points'])} points stand")
    asked = Counter(each["do"] for each in record["points"])
    for each in record["points"]:
        say(
            f"[bold]{each['point']}[/] {escape(each['says'])}",
            tone={"yes": "good", "partly": "warn", "no": "bad"}[each["ready"]],
        )
        if each["evidence"]:
            say(f"[dim]{escape(each['evidence'])}[/]", indent=4)
        if each["do"] and asked[each["do"]] == 1:
            say(f"next: {escape(each['do'])}", indent=4)
    for step, points in asked.items():
        if step and points > 1:
            say(f"next, for {points} of them: {escape(step)}")


def score(record: dict[str, Any]) -> None:
    """Show a batch of scores."""
    say(
        f"{number(record['rows'])} rows scored by {record['model']}@{record['version']} in {record['seconds']:.1f} s",
        tone="good",
    )
    if record.get("out"):
        console.print(f"written to {escape(record['out'])}")
    elif record["sample"]:
        names = list(record["sample"][0])
        table(*names, rows=[[_cell(each[name]) for name in names] for each in record["sample"]])


def monitor(record: dict[str, Any]) -> None:
    """Show what was judged, and the open alarms."""
    say(
        f"{number(record['days'])} days judged, {len(record['alarms'])} alarms open",
        tone="warn" if record["alarms"] else "good",
    )
    alarms(record["alarms"])


def alarms(found: Sequence[dict[str, Any]]) -> None:
    """Show alarms: what, since when, how bad, what next."""
    for each in found:
        say(
            f"[bold]{each['kind']}[/] {escape(each['subject'])} since {each['since'][:10]}: {escape(each['says'])}",
            tone="warn",
        )
        say(f"next: {escape(each['next'])}", indent=4)


def _table_stands(each: dict[str, Any]) -> None:
    """Show what keeps a table from its newest version."""
    if each["stopped"]:
        say(f"[bold]{each['name']}[/] was not made: {escape(each['stopped'])}", tone="bad")
    if each["schema_waits"]:
        say(f"[bold]{each['name']}[/] waits: {escape(each['schema_waits'])}", tone="bad")
        say(f"next: millstream refresh --accept-schema {each['name']}", indent=4)
    if each["running"]:
        since, last = each["running"]["since"], each["running"]["last"]
        say(f"[bold]{each['name']}[/] is being made since {since[:16]}{escape(f': {last}' if last else '')}")


def status(record: dict[str, Any]) -> None:
    """Show where everything stands."""
    where = "" if record["environment"] == "prod" else f"  [bold yellow]{escape(record['environment'])}[/]"
    console.print(
        f"[bold]{escape(record['project'])}[/]{where}  {record['now'][:16]}  [dim]{escape(record['clock'])}[/]"
    )
    table(
        "table",
        "version",
        "rows",
        "quarantined",
        "copied",
        "hops",
        "age",
        "lag p95",
        "contract",
        rows=[_stands(each) for each in record["tables"]],
        right={1, 2, 3, 4, 5, 6, 7},
    )
    for each in record["tables"]:
        _table_stands(each)
        _lag(each)
        made_lately(each)
    standing(record["pins"])
    for each in record["quota"]:
        say(f"quota: {each['says']}", tone="bad" if each["full"] else "warn" if each["near"] else "good")
    served(record.get("served", []))
    for each in record["models"]:
        live = each["live"]
        if live is None:
            say(f"[bold]{each['name']}[/] has no live release", tone="warn")
        else:
            say(
                f"[bold]{each['name']}@{live['version']}[/] live since {live['since'][:16]}, "
                f"{each['goal']} {number(live['value'])} (baseline {number(live['baseline'])})",
                tone="good",
            )
        for text, tone in (*proofs.reports(each["outcomes"]), *proofs.parity(each["parity"])):
            say(text, tone=tone)
    if any(each["live"] for each in record["models"]):
        judged = "a day is judged when it is over" if not record["predictions"] else "in all"
        console.print(
            f"    [dim]{number(record['predictions'])} answers judged, {number(record['outcomes'])} outcomes joined:"
            f" {judged}[/]"
        )
    alarms(record["alarms"])
    for each in record["decisions"]:
        say(f"decision [bold]{each['id']}[/] waits: {each['model']}, asked {each['asked_at'][:16]}", tone="warn")
        say(f"next: millstream decision {each['id']}", indent=4)
    for each in record["servers"]:
        say(f"server {each['url']} serves {each['generations']}", tone="good")


def _stands(table: dict[str, Any]) -> tuple[Any, ...]:
    return (
        table["name"],
        table["edited"] or table["version"],
        number(table["rows"]),
        number(table["quarantined"]),
        number(table["copied_bytes"]),
        table["hops"],
        age(table["seconds_behind"]),
        age((table.get("lag") or {}).get("p95")),
        table["contract"],
    )


def _lag(table: dict[str, Any]) -> None:
    """Say what is wrong with the times of a table's facts; nothing where all is well."""
    found = table.get("lag")
    if found and (found["late"] or found["future"] or found["clock_behind_s"]):
        say(f"[bold]{table['name']}[/] {escape(found['says'])}", tone="warn")


def why(record: dict[str, Any]) -> None:
    """Show how one answer came about."""
    console.print(
        f"[bold]{record['id']}[/]  {record['model']}@{record['version']} answered "
        f"[bold]{_answered(record)}[/] at {record['at'][:19]}, by {record['answered_by']}"
        f"{' (degraded)' if record['degraded'] else ''}"
    )
    for beside in ("probabilities", "quantiles", "distances"):
        if record.get(beside):
            table(beside, "", rows=[(name, number(value)) for name, value in record[beside].items()], right={1})
    table("feature", "value", rows=[(name, number(value)) for name, value in record["features"].items()], right={1})
    console.print(f"data: {_pins(record['tables'])}\nrelease: {record['release']}")
    if record.get("recomputed") is not None:
        say(escape(record["recomputed"]["says"]), tone="good" if record["recomputed"]["equal"] else "bad")
    for text, tone in proofs.outcome(record):
        say(escape(text), tone=tone)


def _answered(record: dict[str, Any]) -> str:
    """Write an answer: a number, or a class; and what was decided."""
    value = record["value"]
    said = escape(value) if isinstance(value, str) else number(value)
    decided = {"decision": ("yes", "no"), "flagged": ("flagged", "not flagged")}
    words = [yes if record[name] else no for name, (yes, no) in decided.items() if name in record]
    return ", ".join([said, *words])


def audit(record: dict[str, Any]) -> None:
    """Show how a version came about."""
    console.print(f"[bold]{record['subject']}[/]  release {record['release'][:16]}")
    table("question", "answer", rows=[(each["question"], escape(str(each["answer"]))) for each in record["answers"]])
    table(
        "when",
        "who",
        "what",
        rows=[(each["at"][:16], escape(each["actor"]), each["act"]) for each in record["history"]],
    )


def reproduce(record: dict[str, Any]) -> None:
    """Show whether the bytes came out the same."""
    say(escape(record["says"]), tone="good" if record["equal"] else "bad")


def verify(record: dict[str, Any]) -> None:
    """Show what holds and the first thing that does not."""
    for each in record["findings"]:
        say(f"{each['subject']}: {escape(each['says'])}", tone="good" if each["ok"] else "bad")
    for text, tone in proofs.head(record):
        say(escape(text), tone=tone)


def _cell(value: Any) -> str | None:
    """Write a value of the data: it is no markup, whatever it holds."""
    return None if value is None else escape(str(value))


def sql(record: dict[str, Any]) -> None:
    """Show the rows of a query, or where they were written."""
    if record["out"]:
        say(
            f"{number(record['count'])} rows from {_pins(record['pins'])} written to {escape(record['out'])}",
            tone="good",
        )
        return
    table(*map(escape, record["columns"]), rows=[[_cell(each) for each in row] for row in record["rows"]])
    then = f", as known at {record['as_of']}" if "as_of" in record else ""
    console.print(f"[dim]{number(record['count'])} rows from {_pins(record['pins'])}{then}[/]")


def profile(record: dict[str, Any]) -> None:
    """Show a table's columns in one line each, and what stands out."""
    from millstream.console.profiled import remarks

    found = record["profile"]
    versions = f"{record['version_count']} version{'s' if record['version_count'] != 1 else ''}"
    say(
        f"[bold]{record['table']}[/]@{record['version']}  {number(found['rows'])} rows, "
        f"{len(found['columns'])} columns, {versions}"
    )
    table(
        "column",
        "type",
        "empty",
        "different",
        "from",
        "to",
        "values",
        rows=[
            (
                escape(each["name"]),
                each["kind"],
                f"{each['nulls'] / max(each['rows'], 1):.0%}",
                number(each["distinct"]),
                _end(each["low"]),
                _end(each["high"]),
                _shown_values(each),
            )
            for each in found["columns"][:_MOST_COLUMNS]
        ],
        right={2, 3},
    )
    if len(found["columns"]) > _MOST_COLUMNS:
        say(f"[dim]and {len(found['columns']) - _MOST_COLUMNS:,} more columns: --json or --html[/]")
    for said in remarks(record):
        console.print(f"[dim]{escape(said)}[/]")
    for each in found["columns"][:_MOST_COLUMNS]:
        for said in each["says"]:
            console.print(f"[bold]{escape(each['name'])}[/]: {escape(said)}")
    for each in found["pitfalls"]:
        console.print(f"[bold]{escape(each['column'])}[/]: {escape(each['says'])}[dim]; {escape(each['do'])}[/]")
    for each in record["suspects"]:
        say(
            f"may tell {escape(record['label'])}: [bold]{escape(each['column'])}[/], {escape(each['says'])}",
            tone="warn",
        )
    if record["label"] and not record["suspects"]:
        say(f"no column seems to tell {escape(record['label'])} by itself", tone="good")
    if "html" in record:
        say(f"wrote {escape(record['html'])}", tone="good")


def _shown_values(column: dict[str, Any]) -> str:
    if column["bars"]:
        counts = [float(each["rows"]) for each in column["bars"]]
        if len(counts) > _BARS_SHOWN:
            counts = [sum(counts[place : place + 2]) for place in range(0, len(counts), 2)]
        return spark([0.0, *counts])[1:]
    rows = max(column["rows"], 1)
    return escape(", ".join(f"{each['value']} {each['rows'] / rows:.0%}" for each in column["top"][:3]))


def _end(text: str | None) -> str | None:
    return None if text is None else text.removesuffix("+00:00").removesuffix(":00").removesuffix(" 00:00")


def lab(record: dict[str, Any]) -> None:
    """Show where the notebook is, and what opens it."""
    wrote = "wrote" if record["written"] else "kept"
    say(f"{wrote} [bold]{escape(record['notebook'])}[/]", tone="good")
    if record["installed"]:
        console.print(f"  [bold]{escape(record['url'])}[/]", soft_wrap=True)
        console.print("[dim]answers in some seconds, to this machine alone; Ctrl-C twice stops it[/]")


def mlflow(record: dict[str, Any]) -> None:
    """Show how any MLflow client reaches the runs."""
    console.print(f"runs and models are at  [bold]{escape(record['tracking_uri'])}[/]", soft_wrap=True)
    console.print(f"[dim]in Python: mlflow.set_tracking_uri({record['tracking_uri']!r})[/]", soft_wrap=True)
    if record["url"]:
        say(f"page  [bold]{record['url']}[/]", tone="good")
        console.print("[dim]answers in some seconds, to this machine alone; Ctrl-C stops it[/]")


def up(address: Any, scoring_url: str) -> None:
    """Show where everything listens."""
    say(f"page     [bold]{address.url}/?token={address.token}[/]", tone="good")
    say(f"scoring  [bold]{scoring_url}[/]", tone="good")
    console.print("[dim]Ctrl-C stops all of it[/]")


def _pins(pins: dict[str, int]) -> str:
    return " ".join(f"{name}@{version}" for name, version in pins.items())
