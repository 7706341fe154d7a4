"""`mlmesh predict`: one call of a function."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.common.errors import MeshError, Unavailable, from_problem
from services.cli import render
from services.cli.arguments import ANYTHING, Accepted, assignments, item, read_json, value
from services.cli.cli_errors import WrongUsage
from services.cli.client import Client, path
from services.cli.session import App, Mesh, talks_without_data

LINES = "application/x-ndjson"
START_TIMEOUT_S = 60.0
"""How long a call waits for an instance that is being started."""
ASK_INTERVAL_S = 1.0
"""When the mesh does not say itself when to ask again."""
ON_ITS_WAY = frozenset({"staging", "pulling", "starting", "healthy", "stopping", "model_missing", "returned", "lost"})
"""Reasons that end by themselves; after others (`exited`, `error`, …) somebody has to do something."""


@talks_without_data
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
    given = json.dumps(read_json(body) if body else _inputs(mesh.client, app, api, inputs or [])).encode()
    deadline = time.monotonic() + (START_TIMEOUT_S if wait else 0.0)
    told = ""
    while True:
        try:
            return _call(mesh.client, path(app, api, "predict"), given)
        except Unavailable as error:
            why = render.reason(error.extensions.get("reason"))
            if not _is_on_its_way(error) or time.monotonic() >= deadline:
                raise Unavailable(f"{error.detail}: {why}" if why else error.detail) from error
            if why != told:
                render.note(f"waiting for {app}: {why}")
                told = why
            pause = ASK_INTERVAL_S if error.retry_after is None else error.retry_after
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))


def _call(client: Client, place: str, given: bytes) -> None:
    headers = {"Content-Type": "application/json", "Accept": f"application/json, {LINES}"}
    with client.open("POST", place, given, headers=headers) as answer:
        if answer.headers.get_content_type() != LINES:
            render.document(answer.json())
            return
        for line in answer.stream:
            piece = json.loads(line)
            if "outputs" not in piece:
                raise from_problem(piece["status"], piece)
            render.write(line.decode().rstrip("\n"))


def _is_on_its_way(error: MeshError) -> bool:
    return (error.extensions.get("reason") or {}).get("code") in ON_ITS_WAY


def _inputs(client: Client, app: str, api: str, given: list[str]) -> dict[str, Any]:
    known = accepted(client, app, api) if given else {}
    return {
        "inputs": [
            item(name, value(text, known.get(name, ANYTHING)), known.get(name, ANYTHING))
            for name, text in assignments(given)
        ]
    }


def accepted(client: Client, app: str, api: str) -> dict[str, Accepted]:
    """What each input takes by the API's own description; nothing when there is none."""
    try:
        described = client.get(path(app, api, "openapi.json"))
    except MeshError:
        return {}  # the call itself will say what is wrong
    return dict(described_inputs(described))


def described_inputs(found: Any) -> list[tuple[str, Accepted]]:
    """Every input that an object schema in `found` names, with what may come."""
    variants: dict[str, list[tuple[str, Any]]] = {}
    for name, datatype, data in _described(found):
        variants.setdefault(name, []).append((datatype, data))
    return [(name, _accepted(ways)) for name, ways in variants.items()]


def _accepted(ways: list[tuple[str, Any]]) -> Accepted:
    """Of the datatypes of an input, each with the schema of its data; numbers are always lists."""
    forms = [form for datatype, data in ways if datatype in ("str", "dict") for form in _forms(data)]
    listed = [form for form in forms if form.get("type") == "array"]
    elements = [form.get("items", form) for form in forms if form.get("type") != "null"]
    return Accepted(
        tuple(dict.fromkeys(datatype for datatype, _ in ways)),
        single=not listed or any(form.get("type") not in ("array", "null") for form in forms),
        listed=bool(listed),
        base64=bool(elements) and all(one.get("format") == "byte" for one in elements),
    )


def _forms(schema: Any) -> list[dict[str, Any]]:
    if not isinstance(schema, dict):
        return []
    return [one for one in schema.get("anyOf", [schema]) if isinstance(one, dict)]


def _described(found: Any) -> list[tuple[str, str, Any]]:
    if isinstance(found, list):
        return [triple for one in found for triple in _described(one)]
    if not isinstance(found, dict):
        return []
    properties = found.get("properties")
    if isinstance(properties, dict) and "name" in properties and "datatype" in properties:
        names, kinds = _fixed(properties["name"]), _fixed(properties["datatype"])
        return [(name, kind, properties.get("data")) for name in names for kind in kinds]
    return [triple for key, one in found.items() if key != "responses" for triple in _described(one)]


def _fixed(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    return [str(schema["const"])] if "const" in schema else [str(one) for one in schema.get("enum", [])]
