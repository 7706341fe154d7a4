"""`mlmesh predict`: one call of a function."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.common.errors import MeshError, from_problem
from services.cli import render
from services.cli.client import Client, path
from services.cli.failure import WrongUsage
from services.cli.session import App, Mesh, talks_without_data
from services.cli.values import assignments, item, value

LINES = "application/x-ndjson"


@talks_without_data
def predict(
    mesh: Mesh,
    app: App,
    api: Annotated[str, typer.Argument(metavar="PATH", help="The API's path.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="JSON, @FILE with JSON, or text.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The whole request; - is standard input.")
    ] = None,
) -> None:
    """Call the function behind an API once, and print its answer as JSON: in pieces, a line each, as they come."""
    if (body is None) == (inputs is None):
        raise WrongUsage("give either --input NAME=VALUE, once or more, or --json FILE")
    given = _read(body) if body else _inputs(mesh.client, app, api, inputs or [])
    headers = {"Content-Type": "application/json", "Accept": f"application/json, {LINES}"}
    with mesh.client.open("POST", path(app, api, "predict"), json.dumps(given).encode(), headers=headers) as answer:
        if answer.headers.get_content_type() != LINES:
            render.document(answer.json())
            return
        for line in answer.stream:
            piece = json.loads(line)
            if "outputs" not in piece:
                raise from_problem(piece["status"], piece)
            render.write(line.decode().rstrip("\n"))


def _read(file: Path) -> Any:
    text = sys.stdin.read() if str(file) == "-" else file.read_text()
    try:
        return json.loads(text)
    except ValueError as error:
        raise WrongUsage(f"{file} is not JSON: {error}") from error


def _inputs(client: Client, app: str, api: str, given: list[str]) -> dict[str, Any]:
    accepted = _accepted(client, app, api)
    return {"inputs": [item(name, value(text), accepted.get(name, ())) for name, text in assignments(given)]}


def _accepted(client: Client, app: str, api: str) -> dict[str, tuple[str, ...]]:
    """The datatypes of each input by the function's own description; nothing when there is none."""
    try:
        described = client.get(path(app, api, "openapi.json"))
    except MeshError:
        return {}  # the call itself will say what is wrong
    return dict(described_inputs(described))


def described_inputs(found: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Every object schema in `found` that fixes a `name` and a `datatype`."""
    if isinstance(found, list):
        return [pair for one in found for pair in described_inputs(one)]
    if not isinstance(found, dict):
        return []
    properties = found.get("properties")
    if isinstance(properties, dict) and "name" in properties and "datatype" in properties:
        names, kinds = _fixed(properties["name"]), _fixed(properties["datatype"])
        return [(name, tuple(kinds)) for name in names]
    return [pair for one in found.values() for pair in described_inputs(one)]


def _fixed(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    return [str(schema["const"])] if "const" in schema else [str(one) for one in schema.get("enum", [])]
