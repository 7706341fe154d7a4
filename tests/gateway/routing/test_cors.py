"""CORS: preflights, allowed origins, and headers of responses and errors."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.proxy.request import Request
from services.gateway.routing import cors
from services.gateway.routing.paths import parse_path
from services.gateway.routing.route_table import RouteTable
from tests.gateway.fake_server import ReceivedRequest, Reply
from tests.gateway.mesh import ALICE, Mesh, api_document, app_document, apply_document, bearer_auth, publish_app

LAB, OTHER = "https://lab.example", "https://other.example"
PREDICT, RUNS, FILE, INFER = (
    "/demo/digits/predict",
    "/demo/runs",
    "/demo/files/data/g/f",
    "/demo/v2/models/digits/infer",
)
ALLOW, VARY = "Access-Control-Allow-Origin", "Vary"
KEY = {"X-API-Key": "key-of-bob"}


def cors_app(*ports: int, **overrides: Any) -> dict[str, Any]:
    return app_document(
        *ports,
        apis=[
            api_document("ml", "digits", "classifier", basic="people", api_key=True, cors=[LAB]),
            api_document("ml", "open", "classifier", none=True, cors=["*"]),
            api_document("ml", "star", "classifier", basic="people", api_key=True, cors=["*"]),
            api_document("ml", "closed", "classifier", basic="people"),
            api_document("pipeline", "train", "training", basic="people", api_key=True, cors=[OTHER]),
            api_document("files", None, None, basic="people", api_key=True, cors=[LAB]),
        ],
        **overrides,
    )


def preflight(origin: str, method: str = "POST", headers: str = "authorization,x-api-key") -> dict[str, str]:
    requested = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return {"Origin": origin, **requested}


def cors_headers(headers: Any) -> dict[str, str]:
    """The CORS headers and `Vary` of a response."""
    return {
        name.lower(): value for name, value in headers.items() if name.lower().startswith(("access-control-", "vary"))
    }


async def test_a_browser_asks_first_and_is_answered_without_credentials(mesh: Mesh) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    status, headers, body = await mesh.call("OPTIONS", PREDICT, headers=preflight(LAB))
    assert (status, body, "Content-Length" in headers) == (204, b"", False)
    assert cors_headers(headers) == {
        "access-control-allow-origin": LAB,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization,x-api-key",
        "access-control-max-age": "600",
        "access-control-expose-headers": "*",
        "vary": "Origin",
    }


PREFLIGHTS: list[tuple[str, str, int, str | None]] = [
    (PREDICT, LAB, 204, LAB),
    (PREDICT, OTHER, 403, None),
    (PREDICT, "null", 403, None),
    (PREDICT, "*", 403, None),
    (PREDICT, "https://lab.example.evil.example", 403, None),
    ("/demo/digits/openapi.json", LAB, 204, LAB),
    ("/demo/open/predict", OTHER, 204, "*"),
    ("/demo/open/predict", "null", 204, "*"),
    ("/demo/train/runs", OTHER, 204, OTHER),
    ("/demo/train/runs", LAB, 403, None),
    ("/demo/closed/predict", LAB, 405, None),
    ("/demo/nothing/predict", LAB, 404, None),
    ("/nobody/nothing/predict", LAB, 404, None),
    (RUNS, LAB, 204, "*"),
    (f"{RUNS}/r_1/cancel", OTHER, 204, "*"),
    (FILE, LAB, 204, LAB),
    (FILE, OTHER, 403, None),
    (INFER, LAB, 204, LAB),
    (INFER, OTHER, 403, None),
    ("/demo/v2/models/classifier/infer", OTHER, 204, "*"),
    ("/demo/v2/health/ready", OTHER, 204, "*"),
    ("/demo/v2/models/nothing/infer", LAB, 405, None),
    ("/links/abc", OTHER, 204, "*"),
    ("/api/v1/apps", LAB, 405, None),
    ("/hooks/demo", LAB, 405, None),
    ("/healthz", LAB, 405, None),
]


async def test_whose_pages_may_is_said_by_the_api_behind_the_address(mesh: Mesh) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    requests_before = len(mesh.component.requests) + len(mesh.databox.requests)
    for path, origin, status, allowed in PREFLIGHTS:
        response_status, headers, _ = await mesh.call("OPTIONS", path, headers=preflight(origin))
        assert (response_status, headers.get(ALLOW)) == (status, allowed), (path, origin)
    assert len(mesh.component.requests) + len(mesh.databox.requests) == requests_before


async def test_a_refused_page_is_told_where_pages_are_named(mesh: Mesh) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    _, _, document = await mesh.call("OPTIONS", PREDICT, headers=preflight(OTHER))
    assert document["detail"] == (
        "origin https://other.example may not call this API; allow it in restfulApi.cors of the APIComponent"
    )


async def test_an_api_that_is_new_is_asked_for_at_once(mesh: Mesh) -> None:
    mesh.scheduler.apps["young"] = cors_app(mesh.component.port)
    mesh.scheduler.version += 1  # without notifying the gateway
    status, headers, _ = await mesh.call("OPTIONS", PREDICT.replace("demo", "young"), headers=preflight(LAB))
    assert (status, headers[ALLOW]) == (204, LAB)


@pytest.mark.parametrize("headers", [{}, {"Origin": LAB}, {"Access-Control-Request-Method": "POST"}])
async def test_options_that_is_no_question_of_a_browser_is_a_method_like_others(
    mesh: Mesh, headers: dict[str, str]
) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    status, answered, _ = await mesh.call("OPTIONS", PREDICT, headers=headers)
    assert (status, answered["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (PREDICT, {"Origin": LAB}, (LAB, "Origin")),
        (PREDICT, {"Origin": OTHER}, (None, "Origin")),
        (PREDICT, {}, (None, "Origin")),
        ("/demo/star/predict", {"Origin": OTHER}, ("*", None)),
        ("/demo/star/predict", {}, ("*", None)),
        ("/demo/train/runs", {"Origin": OTHER}, (OTHER, "Origin")),
    ],
)
async def test_an_answer_says_who_may_read_it(
    mesh: Mesh, path: str, headers: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    status, answered, _ = await mesh.call("POST", path, headers=headers | KEY, json={})
    assert (status, answered.get(ALLOW), answered.get(VARY)) == (200, *expected)
    assert "Access-Control-Allow-Credentials" not in answered


async def test_refusals_can_be_read_too(mesh: Mesh) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    page = {"Origin": LAB}
    calls: list[tuple[int, str, str, dict[str, str]]] = [
        (401, "POST", PREDICT, {}),
        (401, "POST", PREDICT, KEY | {"X-API-Key": "wrong"}),
        (401, "POST", INFER, {}),
        (401, "GET", FILE, {}),
        (403, "POST", PREDICT, bearer_auth("reader")),
        (404, "GET", "/demo/digits/other", KEY),
        (405, "GET", PREDICT, KEY),
        (405, "DELETE", INFER, KEY),
        (415, "POST", PREDICT, KEY | {"Content-Encoding": "br"}),
    ]
    for expected, method, path, headers in calls:
        status, answered, _ = await mesh.call(method, path, headers=headers | page)
        assert (status, answered.get(ALLOW)) == (expected, LAB), (method, path)


async def test_nothing_healthy_can_be_read_too(mesh: Mesh) -> None:
    await publish_app(mesh, cors_app())
    status, answered, _ = await mesh.call("POST", PREDICT, headers={"Origin": LAB} | KEY)
    assert (status, answered[ALLOW], answered["Access-Control-Expose-Headers"]) == (503, LAB, "*")


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        (PREDICT, LAB, 200),
        (PREDICT, OTHER, 403),
        ("/demo/star/predict", LAB, 403),
        ("/demo/runs/r_1/cancel", LAB, 200),
        ("/demo/runs/r_1/cancel", "https://evil.example", 403),
    ],
)
async def test_a_password_counts_only_from_pages_that_are_named(
    mesh: Mesh, path: str, origin: str, status: int
) -> None:
    await publish_app(mesh, cors_app(mesh.component.port))
    response_status, _, _ = await mesh.call("POST", path, headers=ALICE | {"Origin": origin}, json={})
    assert response_status == status


class Application:
    """A web application that sends CORS headers of its own."""

    async def __call__(self, request: ReceivedRequest) -> Reply:
        return Reply(headers={ALLOW: "https://evil.example", "Access-Control-Allow-Credentials": "true", "X-Mine": "1"})


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([LAB], {"access-control-allow-origin": LAB, "access-control-expose-headers": "*", "vary": "Origin"}),
        ([], {"access-control-allow-origin": "https://evil.example", "access-control-allow-credentials": "true"}),
    ],
)
async def test_an_application_decides_itself_unless_its_api_does(
    mesh: Mesh, named: list[str], expected: dict[str, str]
) -> None:
    mesh.component.build_reply = Application()  # type: ignore[method-assign]
    app = app_document(mesh.component.port, apis=[api_document("ml", "digits", "classifier", none=True, cors=named)])
    app["components"]["classifier"]["own_routes"] = True
    await publish_app(mesh, app)
    status, headers, _ = await mesh.call("GET", "/demo/digits/page", headers={"Origin": LAB})
    assert (status, cors_headers(headers), headers["X-Mine"]) == (200, expected, "1")
    status, headers, _ = await mesh.call("OPTIONS", "/demo/digits/page", headers=preflight(LAB, "DELETE"))
    assert (status, headers[ALLOW]) == ((204, LAB) if named else (200, "https://evil.example"))


def test_an_app_without_the_field_has_no_origins() -> None:
    table = apply_document(RouteTable(), {"version": 1, "full": True, "apps": {"demo": app_document(1)}})
    request = Request("GET", "/", b"", [], "127.0.0.1", "http")
    for path in (PREDICT, RUNS, FILE, INFER, "/demo/v2"):
        route = parse_path(path)
        assert route is not None
        assert not cors.get_allowed_origins(table, route, request)
    assert cors.build_response_headers((), LAB.encode()) == []
