"""Tasks as rows: which columns are documents, and how they become values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import RowMapping

from libs.common.protocol.build import BuildSpec
from libs.common.protocol.heartbeat import InstanceEndpoint
from libs.common.protocol.image import ImageSpec
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
    "image",
)
"""Columns that a new stage has a value for."""
DOCUMENTS = (Reason, StoredInstanceSpec, ImageSpec, BuildSpec, InstanceEndpoint, TaskResult)
PARSERS: Mapping[str, Callable[[Any], object]] = {
    "reason": Reason.from_json,
    "endpoint": InstanceEndpoint.model_validate,
    "result": TaskResult.from_json,
}
"""Of the JSON columns that are documents."""
SPECS: Mapping[str, type[StoredInstanceSpec | ImageSpec | BuildSpec]] = {
    "instance": StoredInstanceSpec,
    "image": ImageSpec,
    "build": BuildSpec,
}
"""Of the column `spec`, by kind; that of a stage is an empty document."""


def task_from_row(row: RowMapping | Mapping[str, Any]) -> Task:
    """The task; fields whose columns were not selected have their defaults."""
    values = {**row}
    for name, parse in PARSERS.items():
        if values.get(name) is not None:
            values[name] = parse(values[name])
    if values.get("spec") is not None:
        spec_class = SPECS.get(values["kind"]) if values["spec"] else None
        values["spec"] = spec_class.model_validate(values["spec"]) if spec_class else None
    return Task(**values)


def task_to_row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """All or some of a task's columns, documents as JSON."""
    row = {name: value.to_json() if isinstance(value, DOCUMENTS) else value for name, value in columns.items()}
    return {**row, "spec": row["spec"] or {}} if "spec" in row else row


def new_task_row(stage: Task, dispatched_at: float | None) -> dict[str, Any]:
    """The row of a new stage, without columns that have no value yet."""
    return {**{name: stage.__dict__[name] for name in NEW_TASK_COLUMNS}, "spec": {}, "dispatched_at": dispatched_at}
