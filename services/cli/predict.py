"""`mlmesh predict`: calls a function once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.common.errors import Invalid, MeshError, Unavailable, from_problem
from services.cli import render
from services.cli.arguments import ANY_TYPE, InputType, build_input, parse_assignments, parse_value, read_json
from services.cli.cli_errors import WrongUsage
from services.cli.client import Client, url_path
from services.cli.session import App, Mesh, mesh_command_without_json

NDJSON = "application/x-ndjson"
START_TIMEOUT_S = 60.0
"""How long a call waits for a starting instance."""
RETRY_INTERVAL_S = 1.0
"""Retry interval if the mesh sends no `Retry-After`."""
TEMPORARY_REASONS = frozenset(
    {"staging", "pulling", "starting", "healthy", "stopping", "model_missing", "returned", "lost"}
)
"""Reasons that pass without action; others (`exited`, `error`, …) need one."""


@mesh_command_without_json
def predict(
    mesh: Mesh,
    app: App,
    api: Annotated[str, typer.Argument(metavar="PATH", help="The API's path.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=VALUE", help="JSON, 1,2,3, @FILE with JSON (for bytes: any), or text. Repeatable."
        ),
    ] = None,
    body: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The whole request; - is standard input.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="While the function starts, up to a minute.")] = True,
) -> None:
    """Call the function behind an API once, and print its answer as JSON: in pieces, a line each, as they come."""
    if body is not None and inputs:
        raise WrongUsage("give either --input NAME=VALUE, once or more, or --json FILE")
    values = InputValues(mesh.client, app, api, inputs or ())
    values.load_types()
    document = None if body is None else read_json(body)
    deadline = time.monotonic() + (START_TIMEOUT_S if wait else 0.0)
    last_reason = ""
    while True:
        content = json.dumps(values.to_json() if document is None else document).encode()
        try:
            return _call_and_print(mesh.client, url_path(app, api, "predict"), content)
        except Invalid:
            if not values.load_types():
                raise
        except Unavailable as error:
            reason = render.reason_text(error.extensions.get("reason"))
            if not _is_temporary(error) or time.monotonic() >= deadline:
                raise Unavailable(f"{error.detail}: {reason}" if reason else error.detail) from error
            if reason != last_reason:
                render.write_note(f"waiting for {app}: {reason}")
                last_reason = reason
            pause = RETRY_INTERVAL_S if error.retry_after is None else error.retry_after
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            values.load_types()


class InputValues:
    """Values from the command line. A function that starts describes the types of its inputs only afterwards."""

    def __init__(self, client: Client, app: str, api: str, texts: Iterable[str]) -> None:
        self._client, self._app, self._api = client, app, api
        self._assignments = parse_assignments(texts)
        self._types: dict[str, InputType] = {}

    def load_types(self) -> bool:
        """Whether they are known now and were not before: a request that was refused may be right now."""
        if self._types or not self._assignments:
            return False
        self._types = fetch_input_types(self._client, self._app, self._api)
        return bool(self._types)

    def to_json(self) -> dict[str, object]:
        types = [(name, text, self._types.get(name, ANY_TYPE)) for name, text in self._assignments]
        return {"inputs": [build_input(name, parse_value(text, accepted), accepted) for name, text, accepted in types]}


def _call_and_print(client: Client, target: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json", "Accept": f"application/json, {NDJSON}"}
    with client.open_response("POST", target, content, headers=headers) as response:
        if response.headers.get_content_type() != NDJSON:
            render.write_json(response.json())
            return
        for line in response.stream:
            piece = json.loads(line)
            if "outputs" not in piece:
                raise from_problem(piece["status"], piece)
            render.write_lines(line.decode().rstrip("\n"))


def _is_temporary(error: MeshError) -> bool:
    return (error.extensions.get("reason") or {}).get("code") in TEMPORARY_REASONS


def fetch_input_types(client: Client, app: str, api: str) -> dict[str, InputType]:
    """The type of each input, from the API's OpenAPI document; empty if there is none."""
    try:
        schema = client.get(url_path(app, api, "openapi.json"))
    except MeshError:
        return {}  # the call itself reports the error
    return dict(find_input_types(schema))


def find_input_types(schema: Any) -> list[tuple[str, InputType]]:
    """The inputs that object schemas in `schema` declare, with their types."""
    variants: dict[str, list[tuple[str, Any]]] = {}
    for name, datatype, data in _find_inputs(schema):
        variants.setdefault(name, []).append((datatype, data))
    return [(name, _merge_variants(input_variants)) for name, input_variants in variants.items()]


def _merge_variants(variants: list[tuple[str, Any]]) -> InputType:
    """Merge an input's datatypes, each with the schema of its data, into one type; numbers are always lists."""
    forms = [form for datatype, data in variants if datatype in ("str", "dict") for form in _schema_alternatives(data)]
    listed = [form for form in forms if form.get("type") == "array"]
    elements = [form.get("items", form) for form in forms if form.get("type") != "null"]
    return InputType(
        tuple(dict.fromkeys(datatype for datatype, _ in variants)),
        single=not listed or any(form.get("type") not in ("array", "null") for form in forms),
        listed=bool(listed),
        base64=bool(elements) and all(element.get("format") == "byte" for element in elements),
    )


def _schema_alternatives(schema: object) -> list[Mapping[str, Any]]:
    if not isinstance(schema, dict):
        return []
    return [form for form in schema.get("anyOf", [schema]) if isinstance(form, dict)]


def _find_inputs(schema: Any) -> list[tuple[str, str, Any]]:
    if isinstance(schema, list):
        return [triple for child in schema for triple in _find_inputs(child)]
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties")
    if isinstance(properties, dict) and "name" in properties and "datatype" in properties:
        names, kinds = _fixed_values(properties["name"]), _fixed_values(properties["datatype"])
        return [(name, kind, properties.get("data")) for name in names for kind in kinds]
    return [triple for key, child in schema.items() if key != "responses" for triple in _find_inputs(child)]


def _fixed_values(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    return [str(schema["const"])] if "const" in schema else [str(value) for value in schema.get("enum", [])]
