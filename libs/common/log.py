"""Structured logs: one event per line, as text on a terminal and as JSON elsewhere, with request and trace ids."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from io import StringIO
from typing import Any, Literal, TextIO, cast

import structlog

from libs.common.redaction import redact_links
from libs.common.terminal import escape_controls, escape_to_line

request_id: ContextVar[str] = ContextVar("request_id", default="")
traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def get(name: str) -> structlog.stdlib.BoundLogger:
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name, logger_name=name))


def current_request_id() -> str:
    return request_id.get()


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Sends all logs, including those of libraries, to stderr in one format. The command calls it once."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_request_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer = _build_renderer(form)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)


def _build_renderer(form: str) -> list[Any]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), _redact_line]
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback)
    return [_escape_values, console, _redact_line]


def _redact_line(_logger: Any, _method: str, line: str) -> str:
    return redact_links(line)


def _escape_values(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escapes control characters for a terminal; JSON escapes them itself."""
    return {key: escape_to_line(value) if isinstance(value, str) else value for key, value in event.items()}


def _write_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(escape_controls(text.getvalue()))


def _add_request_ids(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id.get():
        event["request_id"] = request_id.get()
    if traceparent.get():
        event["traceparent"] = traceparent.get()
    return event
