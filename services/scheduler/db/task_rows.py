"""Tasks as rows: which columns are documents, and how they become values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import RowMapping

from libs.common.protocol.heartbeat import InstanceEndpoint
from services.scheduler.model.reason import Reason
from services.scheduler.model.task import StoredInstanceSpec, Task, TaskResult

NEW_TASK_COLUMNS = (
    "id",
    "kind",
    "app",
    "run",
    "name",
    "replica",
    "resource_class",
    "priority",
    "state",
    "created_at",
)
"""Columns that a new stage has a value for."""
DOCUMENTS = (Reason, StoredInstanceSpec, InstanceEndpoint, TaskResult)
PARSERS: Mapping[str, Callable[[Any], object]] = {
    "reason": Reason.from_json,
    "spec": lambda document: StoredInstanceSpec.model_validate(document) if document else None,
    "endpoint": InstanceEndpoint.model_validate,
    "result": TaskResult.from_json,
}
"""Of the JSON columns that are documents; `spec` of a stage is an empty one."""


def task_from_row(row: RowMapping | Mapping[str, Any]) -> Task:
    """The task; fields whose columns were not selected have their defaults."""
    values = {**row}
    for name, parse in PARSERS.items():
        if values.get(name) is not None:
            values[name] = parse(values[name])
    return Task(**values)


def task_to_row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """All or some of a task's columns, documents as JSON."""
    row = {name: value.to_json() if isinstance(value, DOCUMENTS) else value for name, value in columns.items()}
    return {**row, "spec": row["spec"] or {}} if "spec" in row else row


def new_task_row(stage: Task, dispatched_at: float | None) -> dict[str, Any]:
    """The row of a new stage, without columns that have no value yet."""
    return {**{name: stage.__dict__[name] for name in NEW_TASK_COLUMNS}, "spec": {}, "dispatched_at": dispatched_at}
