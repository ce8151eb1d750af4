"""The scoring server's interface, said in OpenAPI."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.version import __version__

_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
_SCALAR = {"type": ["boolean", "number", "string", "null"]}
_ROW = {"type": "object", "additionalProperties": _SCALAR}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answers(schema: dict[str, Any], *statuses: int) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    good = {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}
    return good | {str(each): {"description": _SAYS[each], "content": problem} for each in statuses}


def _list(name: str, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": items}}}


_SAYS = {
    400: "Not addressed to this server, or not a request.",
    403: "'at' on a server that is not a replay.",
    404: "No such model is live.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    422: "Not JSON, a column missing, unknown or of the wrong type, or (strict models) against the contract.",
    503: "Too many requests in flight, or the log does not answer; try again.",
    507: "The prediction log takes no writes; nothing was answered.",
}
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
_PREDICTION = {
    "type": "object",
    "required": ["id", "value", "version", "answered_by", "degraded"],
    "properties": {
        "id": {"type": "string"},
        "value": {
            "type": ["number", "string", "array"],
            "description": "Of classes the most probable one, of clusters its own, of a list its items, best first,"
            " else a number.",
        },
        "version": {"type": "integer"},
        "answered_by": {"enum": ["champion", "previous", "baseline"]},
        "degraded": {"type": "boolean"},
        "probabilities": _NUMBERS | {"description": "Of classes only: the probability of each."},
        "decision": {"type": "boolean", "description": "Of models with a threshold only."},
        "flagged": {"type": "boolean", "description": "Of anomalies only: whether the score is above the threshold."},
        "distance": {"type": "number", "description": "Of clusters only: how far the row is from its own."},
        "distances": _NUMBERS | {"description": "Of clusters only: the distance to each, in standard deviations."},
        "scores": {"type": "array", "items": {"type": "number"}, "description": "Of lists only: one an item."},
        "known": {"type": "boolean", "description": "Of lists only: whether anything is known of who asks."},
        "row": {"type": "integer", "description": "Under a horizon only: which row of the request, from 0."},
        "target_at": {"type": "string", "format": "date-time", "description": "Under a horizon only: for when."},
        "quantiles": _NUMBERS | {"description": "Of quantiles only: level to number."},
        "warnings": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Fields of the request that the contract or training does not know; absent when none is.",
        },
    },
}
_OUTCOME = {
    "type": "object",
    "required": ["label"],
    "oneOf": [{"required": ["key"]}, {"required": ["id"]}],
    "properties": {
        "key": {"oneOf": [_ROW, _SCALAR], "description": "Of the row; bare when it is one column."},
        "id": {"type": "string", "description": "Of one prediction, as its answer gave it."},
        "label": _SCALAR | {"description": "Of the type that the model has learnt; a class by its name."},
    },
}
_PREDICT = _list("rows", _ROW)
_PREDICT["properties"]["rows"]["description"] = (
    "Under a horizon a row may name its target_at; without, it is answered for every target of the horizon to come."
)
_PREDICT["properties"]["at"] = {"type": "string", "format": "date-time", "description": "Replay servers only."}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Millstream scoring server", "version": __version__},
    "paths": {
        "/v1/models": {"get": {"summary": "Models that are live.", "responses": _answers({"type": "object"}, 400)}},
        "/v1/models/{model}": {
            "parameters": [_MODEL],
            "get": {"summary": "One model: what it reads.", "responses": _answers({"type": "object"}, 400, 404)},
        },
        "/v1/models/{model}/predict": {
            "parameters": [_MODEL],
            "post": {
                "summary": "Predict rows; every answer is logged before it leaves.",
                "requestBody": _body(_PREDICT),
                "responses": _answers(_list("predictions", _PREDICTION), 400, 403, 404, 408, 413, 422, 503, 507),
            },
        },
        "/v1/models/{model}/outcomes": {
            "parameters": [_MODEL],
            "post": {
                "summary": "Report the truth that no table has; the same again counts once, another label corrects.",
                "requestBody": _body(_list("outcomes", _OUTCOME)),
                "responses": _answers({"type": "object"}, 400, 404, 408, 413, 422, 503, 507),
            },
        },
        "/invocations": {
            "post": {
                "summary": "MLflow's scoring protocol over feature columns; for a server of one model.",
                "requestBody": _body({"type": "object"}),
                "responses": _answers(
                    _list("predictions", {"type": ["number", "object"]}), 400, 404, 408, 413, 422, 503, 507
                ),
            }
        },
        "/ping": {"get": {"summary": "Whether the process is up.", "responses": {"200": {"description": "It is."}}}},
        "/health": {"get": {"summary": "Whether champions answer.", "responses": _answers({"type": "object"}, 400)}},
        "/version": {"get": {"summary": "Millstream's version.", "responses": {"200": {"description": "Text."}}}},
        "/metrics": {"get": {"summary": "For Prometheus.", "responses": {"200": {"description": "Text."}}}},
    },
    "components": {
        "schemas": {
            "Problem": {
                "type": "object",
                "properties": {
                    name: {"type": "integer" if name == "status" else "string"}
                    for name in ("type", "title", "status", "detail", "expected", "do")
                },
            }
        }
    },
}

ENCODED = msgspec.json.encode(DOCUMENT)
