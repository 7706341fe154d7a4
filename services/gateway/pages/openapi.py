"""OpenAPI documents of a component and of a pipeline. `html_pages` renders them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from libs.common.protocol.route_table import Api, ApiInput, ApiOutput

Document = dict[str, Any]
OPENAPI_VERSION = "3.1.0"
DATATYPES: Mapping[str, Document] = {
    "FILE": {"title": "FILE", "type": "string", "description": "<box>/<group>/<file>"},
    "FOLDER": {"title": "FOLDER", "type": "string", "description": "<box>/<group>/"},
    "str": {"title": "str", "type": "string"},
    "dict": {"title": "dict", "type": "object"},
    "FP32": {"title": "FP32", "type": "number"},
    "FP64": {"title": "FP64", "type": "number"},
    "INT32": {"title": "INT32", "type": "integer"},
    "INT64": {"title": "INT64", "type": "integer"},
    "BOOL": {"title": "BOOL", "type": "boolean"},
}


def build_component_document(described: Mapping[str, Any], api: Api, url: str) -> Document:
    """The component's own document, with the public address and the credentials of the API."""
    own_components = described.get("components")
    components = {**(own_components if isinstance(own_components, Mapping) else {}), **_list_security_schemes(api)}
    paths = _add_curl(described.get("paths"), url, _list_security_requirements(api))
    overrides = {
        "servers": [{"url": url}],
        "components": components,
        "security": _list_security_requirements(api),
        "paths": paths,
    }
    return {**described, **overrides}


def _add_curl(paths: Any, url: str, security: list[Document]) -> Any:
    """The paths with a curl command for predict; documents not written by our runtime stay unchanged."""
    try:
        operation = paths["/predict"]["post"]
        example = operation["requestBody"]["content"]["application/json"]["example"]
        post = {**operation, "x-curl": build_curl_command(f"{url}/predict", example, security)}
        return {**paths, "/predict": {**paths["/predict"], "post": post}}
    except (KeyError, TypeError):
        return paths


def build_pipeline_document(api: Api, url: str) -> Document:
    inputs = {variable.name: _build_input_schema(variable) for variable in api.inputs}
    outputs = {variable.name: _add_description(DATATYPES["FOLDER"], variable) for variable in api.outputs}
    required = [variable.name for variable in api.inputs if variable.required]
    properties = {"inputs": _build_object_schema(inputs, required), "outputs": _build_object_schema(outputs, [])}
    body: Document = {"type": "object", "properties": properties}
    example = {"inputs": {name: _get_example(inputs[name]) for name in required or list(inputs)[:1]}}
    problem = {"description": "A problem (RFC 9457)", "content": {"application/problem+json": {}}}
    submit = {
        "summary": f"Run {api.name}",
        "operationId": "submit",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "x-curl": build_curl_command(f"{url}/runs", example, _list_security_requirements(api)),
        "responses": {
            "202": {
                "description": "The run, which goes on by itself; ask for it at Location",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "422": problem,
            "default": problem,
        },
    }
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": api.title or api.name or "", "version": "1"},
        "servers": [{"url": url}],
        "components": _list_security_schemes(api),
        "security": _list_security_requirements(api),
        "paths": {"/runs": {"post": submit}},
    }


def _build_object_schema(properties: Document, required: list[str]) -> Document:
    schema: Document = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _build_input_schema(variable: ApiInput) -> Document:
    schemas = [DATATYPES[kind] for kind in variable.type.datatypes if kind in DATATYPES]
    schema: Document = schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else {}
    return _add_description(schema, variable)


def _add_description(schema: Document, variable: ApiInput | ApiOutput) -> Document:
    return {**schema, "description": variable.description} if variable.description else schema


def _list_security_schemes(api: Api) -> Document:
    schemes: Document = {"token": {"type": "http", "scheme": "bearer"}}
    if api.auth.basic is not None:
        schemes["basic"] = {"type": "http", "scheme": "basic"}
    if api.auth.api_key:
        schemes["key"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {"securitySchemes": schemes}


def _list_security_requirements(api: Api) -> list[Document]:
    names = ["basic"] * (api.auth.basic is not None) + ["key"] * api.auth.api_key + ["token"]
    return [*({name: []} for name in names), *([{}] if api.auth.none else [])]


def build_curl_command(url: str, body: Any, security: list[Document]) -> str:
    """The shell command for this call, with the first kind of credentials that the API accepts."""
    options = {
        "basic": "-u NAME ",
        "key": '-H "X-API-Key: $KEY" ',
        "token": '-H "Authorization: Bearer $MLMESH_TOKEN" ',
    }
    option = (
        "" if {} in security else options.get(next((name for requirement in security for name in requirement), ""), "")
    )
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {option}'{url}' \\\n     -H 'Content-Type: application/json' \\\n     -d '{text}'"


def _get_example(schema: Document) -> Any:
    kind = schema.get("anyOf", [schema])[0]
    if kind.get("title") in ("FILE", "FOLDER"):
        return "box/group/file" if kind["title"] == "FILE" else "box/group/"
    return {"object": {}, "number": 0.5, "integer": 1, "boolean": True}.get(kind.get("type", ""), "text")
