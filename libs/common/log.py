"""Structured logs: one event a line, text on a terminal and JSON elsewhere, with request and trace ids."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from io import StringIO
from typing import Any, Literal, TextIO, cast

import structlog

from libs.common.redaction import redacted
from libs.common.terminal import one_line, printable

request_id: ContextVar[str] = ContextVar("request_id", default="")
traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def get(name: str) -> structlog.stdlib.BoundLogger:
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name, logger_name=name))


def current_request_id() -> str:
    return request_id.get()


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Send every log, the libraries' too, to stderr in one form. Called once, by the command."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer = _renderer(form)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)


def _renderer(form: str) -> list[Any]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), _redacted]
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)
    return [_harmless, console, _redacted]


def _redacted(_logger: Any, _method: str, line: str) -> str:
    return redacted(line)


def _harmless(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Texts from outside command no terminal. (JSON escapes what it must by itself.)"""
    return {key: one_line(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(stream: TextIO, found: structlog.typing.ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, found)
    stream.write(printable(text.getvalue()))


def _request(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id.get():
        event["request_id"] = request_id.get()
    if traceparent.get():
        event["traceparent"] = traceparent.get()
    return event
