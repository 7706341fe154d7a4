"""Formats a run as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.cli import render, times


def run_lines(run: dict[str, Any], *, full: bool = True, bars: bool = True) -> Iterator[str]:
    """`full` adds history, inputs and outputs; without `bars` the progress of stages is omitted."""
    why = render.reason_text(run.get("reason"))
    yield f"run {run['id']}  {run['pipeline']}  {run['status']}" + (f"  {why}" if why else "")
    if full:
        yield from _history_lines(run)
        if error_text := (run.get("reason") or {}).get("error"):
            yield f"  raised {error_text}"
    for stage in run.get("stages") or []:
        yield f"  {stage['name']:<16} {stage['status']:<10} {_stage_text(stage, bars)}".rstrip()
        if full and stage["status"] == "failed":
            yield from (f"    | {line}" for line in stage.get("log_tail") or ())
    for part in run.get("chain") or []:
        if part.get("id") != run["id"]:
            yield f"  then {part['pipeline']:<11} {part['status']:<10} {part.get('id') or ''}".rstrip()
    if full:
        yield from (f"  input  {name} = {render.cell_text(value)}" for name, value in (run.get("inputs") or {}).items())
        yield from (
            f"  output {name} = {render.cell_text(value)}" for name, value in (run.get("outputs") or {}).items()
        )


def _history_lines(run: dict[str, Any]) -> Iterator[str]:
    took = times.format_interval(run.get("started_at"), run.get("finished_at"))
    parts = (
        f"created {times.format_time(run['created_at'])}" if run.get("created_at") else "",
        f"took {took}" if took else "",
        f"attempt {run['attempt']}" if (run.get("attempt") or 1) > 1 else "",
        f"by {run['user']}" if run.get("user") else "",
    )
    if any(parts):
        yield "  " + ", ".join(part for part in parts if part)


def _stage_text(stage: dict[str, Any], bars: bool) -> str:
    progress = stage.get("progress")
    if progress and stage["status"] == "running":
        return render.progress_bar(*progress) if bars else ""
    return render.reason_text(stage.get("reason"))
