"""What each forge is sent to show errors at their lines."""

from __future__ import annotations

import json

from services.registry.forges.access_tokens import AccessToken
from services.registry.forges.annotations import MAX_SUMMARY, Annotation, quote_code
from services.registry.forges.commit_status import CommitState, CommitStatus
from services.registry.forges.repository_address import make_address
from services.registry.forges.status_apis import STATUS_APIS

COMMIT = "6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"
PAGE = "https://mesh.example/api/v1/apps/leaf/deployments/d1"
STATUS = CommitStatus(COMMIT, CommitState.FAILURE, "m.yml:2:3: unknown field", "mlmesh/leaf", PAGE)
ERROR = Annotation("m.yml", 2, 3, "unknown field")
REPORT = {"title": "mlmesh/leaf", "details": "m.yml:2:3: unknown field", "reporter": "mlmesh", "link": PAGE}


def build(forge: str, path: str, *annotations: Annotation) -> list[tuple[str, str, object]]:
    address = make_address("https", "git.example", "", path)
    requests = STATUS_APIS[forge].build_annotations(address, AccessToken("t0ken"), STATUS, annotations)
    return [
        (request.method, request.url.replace(COMMIT, "SHA"), json.loads(request.body) if request.body else None)
        for request in requests
    ]


def test_gitlab_gets_a_comment_for_each() -> None:
    url = "https://git.example/api/v4/projects/ann%2Fleaf/repository/commits/SHA/comments"
    note = "mlmesh/leaf: `` m.yml:2:3: unknown field ``"
    body = {"note": note, "path": "m.yml", "line": 2, "line_type": "new"}
    assert build("gitlab", "/ann/leaf.git", ERROR) == [("POST", url, body)]


def test_bitbucket_gets_a_report() -> None:
    report = "https://api.bitbucket.org/2.0/repositories/ann/leaf/commit/SHA/reports/mlmesh-leaf"
    detail = {
        "external_id": "mlmesh-leaf-1", "annotation_type": "BUG", "severity": "HIGH", "path": "m.yml", "line": 2,
        "summary": "m.yml:2:3: unknown field",
    }  # fmt: skip
    assert build("bitbucket", "/ann/leaf.git", ERROR) == [
        ("PUT", report, {**REPORT, "report_type": "BUG", "result": "FAILED"}),
        ("POST", f"{report}/annotations", [detail]),
    ]


def test_bitbucket_data_center_gets_a_report_in_place_of_the_one_before() -> None:
    commit = "https://git.example/rest/insights/latest/projects/ANN/repos/leaf/commits/SHA"
    report = f"{commit}/reports/mlmesh-leaf"
    detail = {"path": "m.yml", "line": 2, "message": "m.yml:2:3: unknown field", "severity": "HIGH"}
    assert build("bitbucket-dc", "/scm/ANN/leaf.git", ERROR) == [
        ("PUT", report, {**REPORT, "result": "FAIL"}),
        ("DELETE", f"{report}/annotations", None),
        ("POST", f"{report}/annotations", {"annotations": [detail]}),
    ]


def test_the_first_twenty_are_shown_and_a_forge_without_annotations_gets_none() -> None:
    many = [Annotation("m.yml", line, 1, "wrong") for line in range(1, 31)]
    assert len(build("gitlab", "/ann/leaf", *many)) == 20
    assert build("gitlab", "/ann/leaf") == []
    assert build("github", "/ann/leaf", ERROR) == build("gitea", "/ann/leaf", ERROR) == []


def test_a_message_mentions_nobody_and_has_a_limit() -> None:
    assert quote_code("a `b`\n@all\n/close") == "`` a 'b' @all /close ``"
    assert len(Annotation("m.yml", 1, 1, "x" * 1000).summary) == MAX_SUMMARY
