"""HTML pages for browsers; other clients still get JSON."""

from __future__ import annotations

import json
from html import escape
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Unavailable
from services.gateway.http_errors import InvalidAppCredentials
from services.gateway.pages import html_pages, openapi
from services.gateway.routing.route_table import RouteTable
from tests.docs.platform_document import platform_document
from tests.gateway.mesh import ALICE, Mesh, api_document, app_document, apply_document, publish_app

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FAR = {"X-Forwarded-For": "192.0.2.7"}
EVIL = "<script>alert(1)</script>"


def table(*apis: dict[str, Any], **over: Any) -> RouteTable:
    return apply_document(RouteTable(), {"version": 1, "apps": {"demo": app_document(1, apis=list(apis), **over)}})


def test_home_lists_what_runs_for_who_is_on_this_machine() -> None:
    html = html_pages.render_home(table(*app_document(1)["apis"]), "http://m", show_all=True)
    for path in ("digits", "keyed", "open", "train"):
        assert f'<a href="/demo/{path}/docs">{path}</a>' in html
    assert "files: <code>/demo/files/&lt;box&gt;/</code>" in html
    assert "mlmesh login http://m" in html


def test_home_names_to_others_what_anybody_may_call() -> None:
    html = html_pages.render_home(table(*app_document(1)["apis"]), "http://m", show_all=False)
    assert '<a href="/demo/open/docs">' in html
    assert "digits" not in html
    assert "train" not in html
    closed = html_pages.render_home(
        table(api_document("ml", "digits", "c", basic="people")), "http://m", show_all=False
    )
    assert "demo" not in closed


def test_an_empty_mesh_says_how_to_begin() -> None:
    assert "mlmesh init" in html_pages.render_home(RouteTable(), "http://m", show_all=True)


@pytest.mark.parametrize("everything", [True, False])
def test_text_from_manifests_is_text(everything: bool) -> None:
    routes = table(
        {**api_document("ml", EVIL, EVIL, none=True), "title": EVIL},
        components={EVIL: {"reason": {"code": EVIL, "detail": EVIL}}},
    )
    for html in (
        html_pages.render_home(routes, "http://m", show_all=everything),
        html_pages.render_app(routes.apps["demo"], "http://m", show_all=everything),
        html_pages.render_error(Unavailable(EVIL, reason={"code": EVIL}), "q", "http://m", f"/{EVIL}/docs"),
    ):
        assert EVIL not in html
        assert escape(EVIL) in html


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([EVIL, "get", "/predict", "object"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["info", "title", "description", "servers", "url", "paths", "/predict", "post", "requestBody",
                         "content", "application/json", "schema", "example", "properties", "inputs", "components"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["info", "servers", "paths", "components"]), values))
def test_whatever_a_component_says_of_itself_is_shown_as_text(described: dict[str, Any]) -> None:
    [api_of_component] = table(api_document("ml", "digits", "c", none=True)).apps["demo"].apis
    html = html_pages.render_api_docs(
        openapi.build_component_document(described, api_of_component, "http://m/demo/digits")
    )
    assert EVIL not in html


def test_a_pipelines_page_has_inputs_datatypes_and_a_line_for_the_shell() -> None:
    inputs = [
        {"name": "data", "type": {"datatypes": ["FILE"]}, "description": "grey values"},
        {"name": "top", "required": False, "type": {"datatypes": ["INT64", "FP64"]}},
    ]
    outputs = [{"name": "model", "description": "what was learnt"}]
    routes = table(api_document("pipeline", "train", "training", api_key=True, inputs=inputs, outputs=outputs))
    [app_api] = routes.apps["demo"].apis
    described = openapi.build_pipeline_document(app_api, "http://m/demo/train")
    html = html_pages.render_api_docs(described)
    assert "<code>data</code></td><td>FILE</td><td>grey values</td>" in html
    assert "<code>top</code> (optional)</td><td>INT64 or FP64</td>" in html
    assert "<code>model</code></td><td>FOLDER</td><td>what was learnt</td>" in html
    line = described["paths"]["/runs"]["post"]["x-curl"]
    assert line == (
        "curl -H \"X-API-Key: $KEY\" 'http://m/demo/train/runs' \\\n     -H 'Content-Type: application/json' \\\n"
        '     -d \'{"inputs": {"data": "box/group/file"}}\''
    )
    assert escape(line) in html
    assert "<li><code>202</code> The run, which goes on by itself; ask for it at Location</li>" in html
    assert "default" not in html


def test_an_app_has_a_page_of_its_own_with_ways_there_and_back() -> None:
    routes = table(*app_document(1)["apis"])
    assert '<h2><a href="/demo">demo</a></h2>' in html_pages.render_home(routes, "http://m", show_all=True)
    html = html_pages.render_app(routes.apps["demo"], "http://m", show_all=True)
    assert html.count(">demo<") == 2  # title and heading
    assert '<a href="/">What runs here</a>' in html
    assert "mlmesh app show demo</pre>" in html


def test_the_platforms_page_names_no_answer_that_says_nothing() -> None:
    html = html_pages.render_operations(platform_document())
    assert "<h2>GET <code>/api/v1/apps</code></h2><p>List apps</p></section>" in html


@pytest.mark.parametrize(
    ("auth", "how"),
    [
        ({"none": True, "basic": "people"}, "curl '"),
        ({"basic": "people", "api_key": True}, "curl -u NAME '"),
        ({"api_key": True}, 'curl -H "X-API-Key: $KEY" \''),
        ({}, 'curl -H "Authorization: Bearer $MLMESH_TOKEN" \''),
    ],
)
def test_the_line_for_the_shell_shows_credentials_that_are_taken(auth: dict[str, Any], how: str) -> None:
    [app_api] = table(api_document("pipeline", "train", "training", **auth)).apps["demo"].apis
    assert openapi.build_pipeline_document(app_api, "http://m")["paths"]["/runs"]["post"]["x-curl"].startswith(how)


def test_a_password_is_asked_for_only_where_one_can_be_right() -> None:
    from services.gateway.http_errors import get_error_headers

    assert get_error_headers(InvalidAppCredentials("demo"))["WWW-Authenticate"] == 'Basic realm="demo"'
    assert get_error_headers(InvalidAppCredentials("demo", basic=False))["WWW-Authenticate"] == 'Bearer realm="demo"'


@pytest.mark.settings(public_url="http://127.0.0.1:8000")
@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, "/demo/digits/docs"),
        ("/demo", 200, "/demo/digits/docs"),
        ("/demo/", 200, "/demo/digits/docs"),
        ("/nobody", 404, "no app &quot;nobody&quot; is live"),
        ("/demo/nothing/docs", 404, "has no API at &quot;nothing&quot;"),
        ("/demo/digits/docs", 401, "Missing or invalid credentials"),
        ("/%3Cscript%3E", 404, "&lt;script&gt;"),
    ],
)
async def test_a_browser_is_shown_pages_and_others_documents(mesh: Mesh, path: str, status: int, text: str) -> None:
    code, headers, body = await mesh.call("GET", path, headers=BROWSER)
    assert (code, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert text in body.decode()
    code, headers, body = await mesh.call("GET", path)
    assert (code, headers["Content-Type"]) == (status if status != 200 else 404, "application/problem+json")


@pytest.mark.settings(public_url="http://127.0.0.1:8000")
async def test_who_comes_through_a_proxy_is_not_told_what_is_not_for_everybody(mesh: Mesh) -> None:
    for path, way in product(("/", "/demo"), (FAR, {"Host": "mesh.example.org"})):
        _, _, body = await mesh.call("GET", path, headers=BROWSER | way)
        assert "/demo/open/docs" in body.decode()
        assert "/demo/digits" not in body.decode()
    await publish_app(
        mesh, app_document(mesh.component.port, apis=[api_document("ml", "digits", "classifier", basic="people")])
    )
    assert (await mesh.call("GET", "/demo", headers=BROWSER | FAR))[0] == 404


async def test_an_apis_own_address_leads_to_its_page(mesh: Mesh) -> None:
    for path in ("/demo/digits", "/demo/digits/", "/demo/train"):
        status, headers, _ = await mesh.call("GET", path, headers=BROWSER | ALICE)
        assert (status, headers["Location"]) == (303, f"/demo/{path.split('/')[2]}/docs")
        assert (await mesh.call("GET", path, headers=ALICE))[0] == 404


async def test_a_key_is_not_a_password(mesh: Mesh) -> None:
    _, headers, body = await mesh.call("GET", "/demo/keyed/docs", headers=BROWSER)
    assert headers["WWW-Authenticate"] == 'Bearer realm="demo"'
    assert b'name="key"' in body
    _, headers, body = await mesh.call("GET", "/demo/digits/docs", headers=BROWSER)
    assert (headers["WWW-Authenticate"], b'name="key"' in body) == ('Basic realm="demo"', False)
    status, _, body = await mesh.call("GET", "/demo/keyed/docs", headers=BROWSER | {"X-API-Key": "key-of-bob"})
    assert (status, b"<h1>" in body) == (200, True)


async def test_a_functions_page_is_its_own_with_a_line_for_the_shell(mesh: Mesh) -> None:
    from mlmesh_component.api import openapi as described
    from mlmesh_component.settings import Settings

    from tests.component.api.test_openapi import ADD

    app = app_document()
    app["components"]["classifier"]["openapi"] = described.build_document(Settings("m:f", component="add"), ADD)
    await publish_app(mesh, app)
    status, _, body = await mesh.call("GET", "/demo/digits/docs", headers=BROWSER | ALICE)
    assert status == 200
    assert "<code>x</code></td><td>FP32 or FP64</td><td>what to add</td>" in body.decode()
    assert escape("curl -u NAME 'http://mesh.example/demo/digits/predict'") in body.decode()
    _, _, document_ = await mesh.call("GET", "/demo/digits/openapi.json", headers=ALICE)
    assert json.dumps(document_).count("x-curl") == 1
