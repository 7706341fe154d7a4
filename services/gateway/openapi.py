"""Descriptions that callers read: of a component, a pipeline, the platform; as a document and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from services.gateway.table import Api

Document = dict[str, Any]
VERSION = "3.1.0"
DATATYPES: Mapping[str, Document] = {
    "FILE": {"type": "string", "description": "<box>/<group>/<file>"},
    "FOLDER": {"type": "string", "description": "<box>/<group>/"},
    "str": {"type": "string"},
    "dict": {"type": "object"},
    "FP32": {"type": "number"},
    "FP64": {"type": "number"},
    "INT32": {"type": "integer"},
    "INT64": {"type": "integer"},
    "BOOL": {"type": "boolean"},
}
PLATFORM: tuple[tuple[str, str, str], ...] = (
    ("get", "/api/v1/apps", "List apps"),
    ("post", "/api/v1/apply", "Create or change apps, repositories and secrets"),
    ("get", "/api/v1/apps/{ns}", "An app: its APIs, components, boxes and live deployment"),
    ("delete", "/api/v1/apps/{ns}", "Delete an app"),
    ("post", "/api/v1/apps/{ns}/sync", "Deploy the repository's newest commit"),
    ("get", "/api/v1/apps/{ns}/deployments", "List deployments"),
    ("get", "/api/v1/apps/{ns}/deployments/{id}", "A deployment with its steps and errors"),
    ("post", "/api/v1/apps/{ns}/rollback", "Go back to an earlier deployment"),
    ("get", "/api/v1/apps/{ns}/components", "Components with their instances"),
    ("get", "/api/v1/apps/{ns}/runs", "Runs of all callers"),
    ("put", "/api/v1/apps/{ns}/secrets/{name}", "Set a secret's values"),
    ("get", "/api/v1/tokens", "List tokens"),
    ("post", "/api/v1/tokens", "Make a token"),
    ("post", "/api/v1/validate", "Check manifests"),
    ("get", "/api/v1/schema/{kind}.json", "The JSON Schema of a manifest"),
    ("get", "/api/v1/workers", "Workers and what they run"),
    ("get", "/api/v1/queues", "Queues"),
    ("post", "/hooks/{ns}", "A push webhook"),
)


def platform(url: str) -> Document:
    """The platform's own API."""
    paths: Document = {}
    for method, path, summary in PLATFORM:
        names = [part[1 : part.index("}")] for part in path.split("/") if part.startswith("{")]
        operation: Document = {"summary": summary, "responses": {"default": {"description": "see the HTTP API's page"}}}
        if names:
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": VERSION,
        "info": {"title": "mlmesh", "version": "1"},
        "servers": [{"url": url}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }


def of_component(described: Mapping[str, Any], api: Api, url: str) -> Document:
    """What a component says of itself, at the address and with the credentials that callers use."""
    components = {**(described.get("components") or {}), **_schemes(api)}
    return {**described, "servers": [{"url": url}], "components": components, "security": _security(api)}


def of_pipeline(api: Api, url: str) -> Document:
    inputs = {str(one["name"]): _property(one) for one in api.inputs}
    outputs = {str(one["name"]): {"type": "string"} for one in api.outputs}
    needed = [str(one["name"]) for one in api.inputs if one.get("required", True)]
    properties = {"inputs": _object(inputs, needed), "outputs": _object(outputs, [])}
    body: Document = {"type": "object", "properties": properties}
    problem = {"description": "A problem (RFC 9457)", "content": {"application/problem+json": {}}}
    submit = {
        "summary": f"Run {api.name}",
        "operationId": "submit",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "202": {
                "description": "The run, which goes on by itself",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "422": problem,
            "default": problem,
        },
    }
    return {
        "openapi": VERSION,
        "info": {"title": api.title or api.name or "", "version": "1"},
        "servers": [{"url": url}],
        "components": _schemes(api),
        "security": _security(api),
        "paths": {"/runs": {"post": submit}},
    }


def _object(properties: Document, required: list[str]) -> Document:
    found: Document = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _property(variable: Mapping[str, Any]) -> Document:
    kinds = (variable.get("type") or {}).get("datatypes") or ()
    known = [DATATYPES[kind] for kind in kinds if kind in DATATYPES]
    found: Document = known[0] if len(known) == 1 else {"anyOf": known} if known else {}
    text = variable.get("description")
    return {**found, "description": text} if text else found


def _schemes(api: Api) -> Document:
    schemes: Document = {"token": {"type": "http", "scheme": "bearer"}}
    if api.basic is not None:
        schemes["basic"] = {"type": "http", "scheme": "basic"}
    if api.api_key:
        schemes["key"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {"securitySchemes": schemes}


def _security(api: Api) -> list[Document]:
    names = ["basic"] * (api.basic is not None) + ["key"] * api.api_key + ["token"]
    return [*({name: []} for name in names), *([{}] if api.none else [])]


def page(described: Mapping[str, Any]) -> str:
    """The description as one page that needs nothing else."""
    title = escape(str((described.get("info") or {}).get("title") or "API"))
    servers = described.get("servers") or [{}]
    server = escape(str(servers[0].get("url", "")))
    operations = "\n".join(
        _operation(method, path, operation)
        for path, methods in (described.get("paths") or {}).items()
        for method, operation in methods.items()
        if isinstance(operation, Mapping)
    )
    return PAGE.format(title=title, server=server, operations=operations)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    summary = escape(str(operation.get("summary") or operation.get("description") or ""))
    answers = ", ".join(escape(str(status)) for status in operation.get("responses") or ())
    return (
        f"<section><h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
        f"<p>{summary}</p><p>Answers: {answers}</p></section>"
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}h2{{font-size:1rem}}
section{{border-top:1px solid #ccc}}code{{background:#f3f3f3;padding:.1em .3em}}</style></head>
<body><h1>{title}</h1><p>At <code>{server}</code>. <a href="openapi.json">openapi.json</a></p>
{operations}
</body></html>
"""
