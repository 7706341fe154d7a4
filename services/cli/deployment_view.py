"""A deployment as lines of text: what it is, its steps, its problems, and what it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.cli import times
from services.cli.cli_errors import format_problem

SIGNS = {"created": "+", "changed": "~", "removed": "-"}


def short_commit(commit: str | None) -> str | None:
    return commit and commit[:10]


def first_line(message: object) -> str:
    return str(message or "").partition("\n")[0]


def status_text(deployment: Mapping[str, Any]) -> str:
    """`replaced` is a superseded deployment that was live."""
    status = str(deployment["status"])
    return "replaced" if status == "superseded" and deployment.get("live_at") else status


def deployment_lines(deployment: Mapping[str, Any]) -> Iterator[str]:
    yield from progress_lines(deployment)
    yield from problem_lines(deployment)


def progress_lines(deployment: Mapping[str, Any]) -> Iterator[str]:
    """What it is, and its steps with their durations."""
    what = "  ".join(
        part
        for part in (
            short_commit(deployment.get("commit")),
            deployment.get("tag"),
            deployment.get("author"),
            first_line(deployment.get("message")),
        )
        if part
    )
    yield f"deployment {deployment['id']}  {status_text(deployment)}" + (f"  {what}" if what else "")
    yield from (f"  {cause}" for cause in (describe_cause(deployment),) if cause)
    for step in deployment.get("steps", []):
        took = times.format_interval(step.get("started_at"), step.get("finished_at"))
        yield f"  {step['name']:<12} {step['status']:<10} {took:>7}  {_describe_step(deployment, step)}".rstrip()


def describe_cause(deployment: Mapping[str, Any]) -> str:
    """`rollback to deployment 1f0e, by token ci, 2026-11-28 23:56:01 UTC`."""
    cause, repeats = str(deployment.get("trigger") or ""), deployment.get("repeats")
    if repeats:
        of_app = f" of {repeats['app']}" if repeats["app"] != deployment.get("app") else ""
        cause += f" {'from' if of_app else 'to'} deployment {repeats['deployment']}{of_app}"
    by = deployment.get("caused_by")
    words = (
        cause,
        f"by {by}" if by and by != deployment.get("trigger") else "",
        times.format_time(deployment.get("created_at")),
    )
    return ", ".join(word for word in words if word)


def _describe_step(deployment: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    """Its detail; the errors of a deployment say why its step has failed."""
    is_told = step["status"] == "failed" and deployment.get("errors")
    return "" if is_told else indent_lines(str(step.get("detail") or ""))


def problem_lines(deployment: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("errors", "warnings"):
        for problem in deployment.get(kind, []):
            yield f"  {kind[:-1]}: {indent_lines(format_problem(problem))}"
            log_tail = problem.get("log_tail") or ()
            yield from (f"    | {line}" for line in log_tail if line not in problem["message"])


def change_lines(changes: Mapping[str, Any]) -> Iterator[str]:
    """A line for each manifest that is created or removed, and for each field that is changed."""
    for change in changes.get("items", []):
        sign, note = SIGNS.get(change["action"], " "), "; its data is kept" if change.get("data_kept") else ""
        yield f"  {sign} {change['kind']} {change['name']} {change['action']}{note}"
        for field in change.get("fields", []):
            name = f"{change['name']}.{field['field'].removeprefix('spec.')}"
            yield f"      {name}: {_value_text(field['before'])} → {_value_text(field['after'])}"
    if changes.get("omitted"):
        yield f"  and {changes['omitted']} more changes"


def _value_text(value: str | None) -> str:
    """On one line, whatever it is."""
    return "(none)" if value is None else "\\n".join(value.splitlines()) or '""'


def indent_lines(text: str) -> str:
    """Indent all lines after the first."""
    return "\n    | ".join(text.splitlines())
