"""Inputs of a run from the command line. A local file is no input; the error says how to upload it to a box."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.common.errors import Invalid, MeshError
from services.cli.arguments import parse_value
from services.cli.cli_errors import WrongUsage
from services.cli.client import Client, url_path

LOCAL_PREFIXES = ("/", "./", "../", "~")
"""Prefixes of paths that cannot be files of a box."""
GROUP = "inputs"


def submit_run(client: Client, app: str, api: str, typed: dict[str, str], options: Mapping[str, object]) -> Any:
    """Submit a run. Raises WrongUsage with the commands to type if an input is a local file."""
    try:
        inputs = {name: _parse_value(text) for name, text in typed.items()}
        return client.post(url_path(app, api, "runs"), {"inputs": inputs, **options})
    except (_LocalFile, Invalid) as error:
        names = _refused_inputs(error) if isinstance(error, Invalid) else typed.keys()
        files = {name: file for name in names if (file := _local_file(typed.get(name, "")))}
        if not files:
            raise
        raise WrongUsage(_upload_advice(client, app, api, files)) from error


class _LocalFile(Exception):
    """The input is a local file."""


def _parse_value(text: str) -> Any:
    try:
        parsed = parse_value(text)
    except WrongUsage:
        if _local_file(text):
            raise _LocalFile from None
        raise
    if isinstance(parsed, str) and parsed.startswith(LOCAL_PREFIXES) and _local_file(parsed):
        raise _LocalFile
    return parsed


def _local_file(text: str) -> str:
    """The path in `text` if it is a local file, else an empty string."""
    typed = text.removeprefix("@")
    try:
        return typed if typed and Path(typed).expanduser().is_file() else ""
    except (OSError, RuntimeError, ValueError):  # not a valid file name
        return ""


def _refused_inputs(error: Invalid) -> list[str]:
    return [
        str(problem["input"])
        for problem in error.extensions.get("errors") or ()
        if isinstance(problem, dict) and "input" in problem
    ]


def _upload_advice(client: Client, app: str, api: str, files: dict[str, str]) -> str:
    boxes = _list_boxes(client, app)
    box = boxes[0] if len(boxes) == 1 else "BOX"
    puts, inputs = [], []
    for name, file in files.items():
        target = f"{box}/{GROUP}/{Path(file).name}"
        puts.append(shlex.join(["mlmesh", "box", "put", app, str(Path(file).expanduser()), target]))
        inputs.append(shlex.join(["--input", f"{name}={target}"]))
    one_of = f"; BOX is one of: {', '.join(boxes)}" if len(boxes) > 1 else ""
    what = " and ".join(f"{name}: {file}" for name, file in files.items())
    is_file = "is a file" if len(files) == 1 else "are files"
    then = shlex.join(["mlmesh", "run", "start", app, api])
    return (
        f"{what} {is_file} of this machine, and a run reads files of boxes; type: {'; '.join(puts)}; "
        f"then: {then} {' '.join(inputs)}{one_of}"
    )


def _list_boxes(client: Client, app: str) -> list[str]:
    """Names of the app's boxes; empty if this caller may not read them."""
    try:
        details = client.get("/api/v1/apps" + url_path(app))
    except MeshError:
        return []
    return [box["name"] for box in details.get("boxes") or () if not box.get("detached")]
