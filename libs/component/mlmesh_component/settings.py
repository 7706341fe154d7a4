"""The settings of a component: environment variables, overridden by arguments. Read once and passed down."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_PORT = 8002
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_MAX_BODY_BYTES = 100 * 1024 * 1024


class SettingsError(Exception):
    """A setting of the component is invalid."""


@dataclass(frozen=True)
class Settings:
    inference: str = ""
    app: str | None = None
    """A web application instead of a function: `package.module:app`."""
    host: str = "0.0.0.0"  # noqa: S104 - containers are called from outside; the instance token protects them
    port: int = DEFAULT_PORT
    port_file: str | None = None
    token: str | None = None
    model_path: str | None = None
    loader: str | None = None
    concurrency: int = 1
    batch_size: int | None = None
    """The most requests in one call of the function. None: no batching, parameters are single values."""
    batch_delay: float = 0.0
    """Seconds."""
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    warmup: tuple[Any, ...] = ()
    max_body: int = DEFAULT_MAX_BODY_BYTES
    url: str | None = None
    boxes: tuple[str, ...] = ()
    model_box: str | None = None
    other_boxes: tuple[str, ...] = ()
    """Boxes of the app that are not connected to this component."""
    component: str = "component"
    namespace: str = ""

    @property
    def target(self) -> str:
        """The import name of the function or application that is served."""
        return self.app or self.inference

    @property
    def local(self) -> bool:
        """Whether a person started it, without a platform."""
        return self.token is None and self.port_file is None


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings; raises `SettingsError` with the name of the invalid variable."""
    options = _build_argument_parser().parse_args(arguments)
    values = _Environment(environment)
    inference = options.inference or values.get_text("MLMESH_INFERENCE") or ""
    app = options.app or values.get_text("MLMESH_APP")
    if not inference and not app:
        raise SettingsError("say what to serve: package.module:function, as an argument or in MLMESH_INFERENCE")
    return Settings(
        inference=inference,
        app=app,
        host=options.host or values.get_text("MLMESH_HOST") or Settings.host,
        port=options.port if options.port is not None else values.get_integer("MLMESH_PORT", DEFAULT_PORT, 0),
        port_file=values.get_text("MLMESH_PORT_FILE"),
        token=values.get_text("MLMESH_INSTANCE_TOKEN"),
        model_path=options.model or values.get_text("MLMESH_MODEL_PATH"),
        loader=options.loader or values.get_text("MLMESH_LOADER"),
        concurrency=options.concurrency or values.get_integer("MLMESH_CONCURRENCY", 1, 1),
        batch_size=options.batch_size or (values.get_integer("MLMESH_BATCH_SIZE", 0, 1) or None),
        batch_delay=(options.batch_delay_ms or values.get_milliseconds("MLMESH_BATCH_DELAY_MS")) / 1000,
        timeout=options.timeout or values.get_seconds("MLMESH_TIMEOUT", DEFAULT_TIMEOUT_SECONDS),
        warmup=tuple(values.get_json_list("MLMESH_WARMUP")),
        max_body=values.get_integer("MLMESH_MAX_BODY", DEFAULT_MAX_BODY_BYTES, 0),
        url=values.get_text("MLMESH_URL"),
        boxes=values.get_names("MLMESH_BOXES"),
        model_box=values.get_text("MLMESH_MODEL_BOX"),
        other_boxes=values.get_names("MLMESH_OTHER_BOXES"),
        component=values.get_text("MLMESH_COMPONENT_NAME") or Settings.component,
        namespace=values.get_text("MLMESH_NAMESPACE") or "",
    )


def _build_argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlmesh_component", description="Serve one function over HTTP.")
    parser.add_argument("inference", nargs="?", help="package.module:function")
    parser.add_argument("--app", metavar="package.module:app", help="instead: a web application (ASGI)")
    parser.add_argument("--model", metavar="PATH", help="the model: a file or a folder")
    parser.add_argument("--loader", metavar="module:function", help="loads the model: loader(path) -> model")
    parser.add_argument("--host", help="address to listen on (0.0.0.0)")
    parser.add_argument("--port", type=int, help="port to listen on (8002; 0: any free one)")
    parser.add_argument("--concurrency", type=int, help="calls at once (1)")
    parser.add_argument("--batch-size", type=int, help="requests in one call of the function, which gets lists (off)")
    parser.add_argument("--batch-delay-ms", type=float, help="how long a batch waits for more (0)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="deadline of one call (30)")
    return parser


class _Environment:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get_text(self, name: str) -> str | None:
        return self._values.get(name) or None

    def get_integer(self, name: str, default: int, minimum: int) -> int:
        text = self.get_text(name)
        if text is None:
            return default
        if not text.isdigit() or int(text) < minimum:
            raise SettingsError(f"{name} must be a whole number from {minimum}, not {text!r}")
        return int(text)

    def get_seconds(self, name: str, default: float) -> float:
        text = self.get_text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError as error:
            raise SettingsError(f"{name} must be seconds, not {text!r}") from error
        if not 0 < value < float("inf"):
            raise SettingsError(f"{name} must be above 0, not {text!r}")
        return value

    def get_milliseconds(self, name: str) -> float:
        text = self.get_text(name) or "0"
        if not re.fullmatch(r"\d+(\.\d*)?", text):
            raise SettingsError(f"{name} must be milliseconds, not {text!r}")
        return float(text)

    def get_names(self, name: str) -> tuple[str, ...]:
        return tuple(str(element) for element in self.get_json_list(name))

    def get_json_list(self, name: str) -> list[Any]:
        text = self.get_text(name)
        try:
            value = json.loads(text) if text is not None else []
        except ValueError as error:
            raise SettingsError(f"{name} must be a JSON list: {error}") from error
        if not isinstance(value, list):
            raise SettingsError(f"{name} must be a JSON list")
        return value
