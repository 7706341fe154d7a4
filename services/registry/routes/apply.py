"""`apply`: attach a module to the mesh. From then on Git decides."""

from __future__ import annotations

from fastapi import Request

from libs.common.http.api_document import describe_body
from libs.common.http.documented_router import DocumentedRouter
from services.registry.apply.executor import ApplyExecutor, ApplyJson, invalid_from_problems
from services.registry.apply.request import ApplyRequest, parse_apply_request
from services.registry.checks.problems import problem_to_json
from services.registry.dependencies import CallerDep, Dependencies, DependenciesDep
from services.registry.request_body import read_body

router = DocumentedRouter(tags=["apps"])
MAX_BYTES = 1 << 20
LOOKUP_TIMEOUT_S = 2.0
"""A host that is not resolved in this time is checked again by the deployment."""
DEFAULT_FILE_NAME = "app.yaml"
EXAMPLE = """\
apiVersion: mlmesh/v1
kind: PlatformApp
metadata: {name: texts}
spec: {title: Texts, moduleKind: base}
"""


@router.post(
    "/api/v1/apply",
    summary="Create or change apps, repositories and secrets",
    openapi_extra={
        "requestBody": describe_body("application/yaml", "Manifests: PlatformApp, Repository, Secret.", EXAMPLE)
    },
)
async def apply(request: Request, deps: DependenciesDep, caller: CallerDep, file: str = DEFAULT_FILE_NAME) -> ApplyJson:
    """`file` is the file name in error positions."""
    apply_request, problems = parse_apply_request(file, await read_body(request, MAX_BYTES))
    if apply_request is None:
        raise invalid_from_problems([problem for problem in problems if problem.severity == "error"])
    caller.require_scope("write", apply_request.app)
    await _check_repository_url(deps, apply_request)
    await deps.app_remover.wait_until_removed(apply_request.app)
    executor = ApplyExecutor(deps.database, deps.vault, deps.settings.public_url, apply_request, caller.title)
    response = await executor.run()
    deps.publish_access_change(apply_request.app)
    return {**response, "warnings": [problem_to_json(problem) for problem in problems]}


async def _check_repository_url(deps: Dependencies, apply_request: ApplyRequest) -> None:
    """Raises Invalid for a Repository at an address that the policy does not allow."""
    url = apply_request.repository.body.spec.url if apply_request.repository is not None else None
    if apply_request.repository is None or url is None:
        return
    if why := await deps.address_policy.explain_refusal(url, LOOKUP_TIMEOUT_S):
        raise invalid_from_problems([apply_request.repository.problem_at(("spec", "url"), why)])
