"""The model card: what a release is, for somebody who did not make it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card(
    said: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    report: Mapping[str, Any] | None,
    baseline: Any,
    model: Mapping[str, Any] | None = None,
) -> str:
    """Write a model card in plain words.

    Parameters
    ----------
    said
        The fields of ``release.json``, without the files.
    training
        ``training.json``.
    report
        ``report.json``, where a backtest was run.
    baseline
        ``baseline.json``.
    model
        ``model.json``.
    """
    model = model or {}
    name = f"{said['model']}@{said['version']}"
    parts = [
        f"# {name}\n\n{_what(said, training)}",
        "## Who and when\n\n" + _who(said, training),
        "## How good it is\n\n" + _metrics(training, baseline),
        "## Learnt from\n\n" + _data(training),
        "## Assumptions\n\n" + _bullets(_assumptions(training)),
        "## Meant for\n\n" + _intended(said, training),
        f"## Taking it back\n\n`millstream rollback {said['model']}` puts the release before it back: model, features, "
        "schemas and environment together. It was rehearsed before this release could go live.",
    ]
    if model.get("kind") == "python":
        parts.insert(-1, "## What it runs\n\n" + _code(model))
    if training.get("clusters"):
        parts.insert(2, "## Its groups\n\n" + _groups(training["clusters"]))
    verdict = (report or {}).get("verdict")
    if verdict:
        passed = "It passed" if verdict.get("passed") else "It did **not** pass"
        parts.insert(3 + bool(training.get("clusters")), f"## The gate\n\n{passed}: {verdict.get('says', '')}")
    return "\n\n".join(parts) + "\n"


def _what(said: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    classes, levels = training.get("classes") or (), training.get("levels") or ()
    answers = {
        "binary": "the probability that the label is true",
        "regression": "the expected number",
        "multiclass": f"the most probable of {len(classes)} classes ({', '.join(map(str, classes[:6]))}"
        f"{', …' if len(classes) > 6 else ''}) with the probability of each",
        "quantiles": f"the median, with the quantiles {', '.join(f'{each:g}' for each in levels)}",
        "anomaly": "how unusual it is",
        "clusters": f"which of {len(classes)} groups it belongs to ({', '.join(map(str, classes[:6]))}"
        f"{', …' if len(classes) > 6 else ''}), with its distance to each",
    }
    if training.get("task") == "topk":
        return (
            f"Asked for somebody, `{said['model']}` answers with {training.get('k')} items, best first, each with the"
            f" probability that it is a good choice. `{training.get('estimator')}` scores pairs of somebody and an item"
            f" on {len(training.get('features') or ())} features. Over `/invocations` and MLflow it gives those scores."
        )
    gives = answers.get(str(training.get("task")), "one value")
    features = training.get("features") or ()
    how = f" `{training['estimator']}` on {len(features)} features." if training.get("estimator") else ""
    note = f"\n\n> {said['note']}" if said.get("note") else ""
    return f"For each row, `{said['model']}` answers {gives}.{how}{note}"


def _groups(clusters: Any) -> str:
    """Show each group by what tells it apart and by the typical values of its rows."""
    names = list(clusters[0]["typical"])
    lines = [
        f"Group **{each['name']}**, {each['share']:.1%} of the rows: {each['says']}."
        + (f" {each['same']:.0%} of all its rows were in the group of that number before." if each["same"] else "")
        for each in clusters
    ]
    head = "| typically | " + " | ".join(str(each["name"]) for each in clusters) + " |"
    rows = [
        f"| {name} | " + " | ".join(_number(each["typical"].get(name)) for each in clusters) + " |" for name in names
    ]
    rule = "|---|" + "---:|" * len(clusters)
    return _bullets(lines) + "\n\n" + "\n".join([head, rule, *rows])


def _code(model: Mapping[str, Any]) -> str:
    held = {
        "pickle": f"This release holds a pickle, `{model.get('file')}`: opening it runs whatever its author wrote.",
        "skops": f"The model, `{model.get('file')}`, is in skops' format; the classes it names run when it is opened.",
    }
    held["mlflow"] = (
        f"The model, `{model.get('file')}`, is as MLflow logged it: opening it runs whatever its author wrote."
    )
    lines = [
        held.get(str(model.get("format")), f"The model, `{model.get('file')}`, is in its library's own format."),
        "The signature covers it, and only a worker process opens it: never the scoring server or the control plane.",
    ]
    if model.get("code"):
        lines.append(f"The project's own code in it: {', '.join(f'`{each}`' for each in model['code'])}.")
    if model.get("alone"):
        lines.append("Rows are answered one by one: asked together, this model gives other last bits.")
    return _bullets(lines)


def _who(said: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    code = said["code"]
    source = f"commit `{code['commit']}`" if code.get("commit") else f"snapshot `{code.get('snapshot', 'none')}`"
    lines = [
        f"Trained by {said['trained_by'] or 'nobody named'}, built by {said['built_by']} at {said['built_at']} "
        "(names are asserted, not authenticated).",
        f"Definitions: {source}{' with uncommitted changes' if code.get('dirty') == 'yes' else ''}.",
        f"Run: `{said['run_id'] or 'not tracked'}`; registry version: {said['model_version'] or 'none'}.",
        f"Released after: `{said['previous'] or 'nothing, it is the first'}`.",
    ]
    if training.get("content_hash"):
        lines.append(f"Model content hash: `{training['content_hash']}` (seed {training.get('seed')}).")
    return _bullets(lines)


def _metrics(training: Mapping[str, Any], baseline: Any) -> str:
    metrics = training.get("metrics") or {}
    model, simple = metrics.get("model") or {}, metrics.get("baseline") or {}
    if not model:
        return "No metrics were recorded."
    rows = [
        f"| {metric}{' (goal)' if metric == training.get('goal') else ''} | {_number(value)} |"
        f" {_number(simple.get(metric))} |"
        for metric, value in model.items()
    ]
    span = f"On rows decided from {training.get('cut')} to {training.get('test_end')}, which it had not learnt from. "
    rule = f"The baseline is the {baseline.get('kind')} ({_number(baseline.get('value'))}).\n\n"
    return span + rule + "| metric | this model | baseline |\n|---|---:|---:|\n" + "\n".join(rows)


def _data(training: Mapping[str, Any]) -> str:
    pins = training.get("pins") or {}
    counts = training.get("counts") or {}
    lines = [f"table `{table}` at version {version}" for table, version in sorted(pins.items())]
    lines += [f"{name.replace('_', ' ')}: {value}" for name, value in counts.items() if isinstance(value, int | float)]
    if training.get("learnt_to"):
        lines.append(f"latest decision learnt from: {training['learnt_to']}")
    return _bullets(lines) if lines else "No data pins were recorded."


def _assumptions(training: Mapping[str, Any]) -> list[str]:
    said = [str(each) for each in training.get("assumptions") or ()]
    if training.get("says"):
        said.append(str(training["says"]))
    if training.get("static_at"):
        said.append(f"Rows without a time of their own were decided at {training['static_at']}.")
    said.append("Facts count from when they were known (declared by their tables), never from when they happened.")
    said.append("Rows whose label was not known at a cut were left out of fitting and judging.")
    return said


def _intended(said: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    return (
        f"Decisions about the rows `{said['model']}` is defined for, on data like that it learnt from. It was judged "
        f"as a whole on {training.get('goal', 'its goal')}, not for any single group; it is watched for drift and "
        "harm, and an answer that says `degraded` came from an older release or the baseline."
    )


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
