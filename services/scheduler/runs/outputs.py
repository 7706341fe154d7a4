"""Output files of runs, with download links."""

from __future__ import annotations

from typing_extensions import TypedDict

from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.http.client import ServiceClient
from libs.common.http.response_shapes import response_shape
from libs.common.locations import Location
from libs.common.protocol.staging import SourcesRequest, SourcesResponse, StoredFile
from services.scheduler.db import runs, tasks
from services.scheduler.model.run import Run
from services.scheduler.plans import planner


@response_shape
class OutputFilesJson(TypedDict):
    """The files of an output variable."""

    items: list[StoredFile]


async def list_output_files(db: Database, databox: ServiceClient, run: Run, variable: str) -> tuple[StoredFile, ...]:
    """The files of an output variable: the published ones, or those in the area of the stage."""
    outputs = run.plan.outputs
    if variable not in outputs:
        raise NotFound(f"no output {variable}; outputs are {', '.join(outputs) or 'none'}")
    location = await _output_location(db, run, variable)
    if location is None:
        return ()
    query = SourcesRequest(locations=(location,), links=True, reader="public")
    response = await databox.post(f"/internal/apps/{run.app}/sources", query.to_json())
    return SourcesResponse.model_validate(response).sources[0]


async def _output_location(db: Database, run: Run, variable: str) -> Location | None:
    """Location of the variable; None while the stage that writes it has not succeeded."""
    async with db.read() as conn:
        chain_runs = await runs.list_chain(conn, run.id) if run.is_chain_head else [run]
        producer = next(
            (run_of_chain for run_of_chain in reversed(chain_runs) if variable in run_of_chain.plan.producers),
            None,
        )
        stages = await tasks.list_by_run(conn, producer.id) if producer else []
    if producer is None:
        return None
    if (target := producer.plan.targets.get(variable)) is not None:
        return target
    stage = next(task for task in stages if task.name == producer.plan.producers[variable])
    if stage.state != "succeeded":
        return None
    return planner.find_output_location(producer, stage, variable)
