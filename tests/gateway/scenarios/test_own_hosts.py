"""Pages of modules: on the host of their app, or sandboxed; what a module may set for a host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.fake_server import ReceivedRequest, Reply
from tests.gateway.mesh import ALICE, Mesh, api_document, app_document, publish_app

PAGE = {"Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate"}
POLICY = "Content-Security-Policy"
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
pytestmark = pytest.mark.settings(app_hosts="localhost")
NO_HOSTS = pytest.mark.settings(app_hosts="")


class Module:
    """A web application that tries to act on the whole host."""

    headers: dict[str, str]

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def __call__(self, request: ReceivedRequest) -> Reply:
        return Reply(headers={"Content-Type": "text/html", **self.headers})


async def publish_web_app(mesh: Mesh, module: Module | None = None, **auth: Any) -> None:
    mesh.component.build_reply = module or Module()  # type: ignore[method-assign]
    api = api_document("ml", "page", "classifier", **(auth or {"none": True}))
    app = app_document(mesh.component.port, apis=[api, *app_document()["apis"]])
    app["components"]["classifier"]["own_routes"] = True
    await publish_app(mesh, app)


def own_host(mesh: Mesh, app: str = "demo") -> dict[str, str]:
    return {"Host": f"{app}.localhost:{mesh.url.rpartition(':')[2]}"}


async def test_a_browser_is_led_to_the_apps_own_host(mesh: Mesh) -> None:
    await publish_web_app(mesh)
    status, headers, _ = await mesh.call("GET", "/demo/page/chart?year=1", headers=PAGE)
    assert (status, headers["Location"]) == (303, f"http://{own_host(mesh)['Host']}/demo/page/chart?year=1")
    status, headers, _ = await mesh.call("GET", "/demo/page/chart", headers=PAGE | own_host(mesh))
    assert (status, headers.get(POLICY)) == (200, None)


async def test_programs_get_the_answer_on_every_host(mesh: Mesh) -> None:
    await publish_web_app(mesh)
    for host in ({}, own_host(mesh), {"Host": "localhost:1"}, own_host(mesh, "nobody")):
        status, _, _ = await mesh.call("GET", "/demo/page/chart", headers=host)
        assert status == 200


@pytest.mark.parametrize("sent", [PAGE | {"Sec-Fetch-Mode": "cors"}, {"Accept": "*/*", "Sec-Fetch-Dest": "embed"}, {}])
async def test_what_is_not_on_the_own_host_is_sandboxed(mesh: Mesh, sent: dict[str, str]) -> None:
    await publish_web_app(mesh, Module(Content_Security_Policy="default-src 'self'"))
    _, headers, _ = await mesh.call("GET", "/demo/page/chart", headers=sent)
    assert headers.getall(POLICY) == ["default-src 'self'", SANDBOX]


async def test_users_files_are_sandboxed_on_every_host(mesh: Mesh) -> None:
    for host in ({}, own_host(mesh)):
        _, headers, _ = await mesh.call("GET", "/demo/files/data/g/page.html?download=1", headers=ALICE | host)
        assert headers[POLICY] == SANDBOX
    _, headers, _ = await mesh.call("GET", "/links/token")
    assert headers[POLICY] == SANDBOX


async def test_our_own_pages_are_not_sandboxed(mesh: Mesh) -> None:
    for path in ("/", "/demo", "/demo/digits/docs", "/docs"):
        status, headers, _ = await mesh.call("GET", path, headers=ALICE | {"Accept": "text/html"})
        assert (status, headers.get(POLICY)) == (200, None), path


async def test_an_answer_of_a_function_that_a_browser_may_show_is_sandboxed(mesh: Mesh) -> None:
    mesh.component.build_reply = Module()  # type: ignore[method-assign]
    sent = {"Accept": "text/html", "Content-Type": "text/plain"}
    _, headers, _ = await mesh.call("POST", "/demo/open/predict", data=b"{}", headers=sent)
    assert headers[POLICY] == SANDBOX


@pytest.mark.parametrize(
    "path", ["/other/page/", "/api/v1/apps", "/healthz", "/links/token", "/git/demo.git/info/refs"]
)
async def test_an_apps_host_serves_nothing_else(mesh: Mesh, path: str) -> None:
    status, _, reply = await mesh.call("GET", path, headers=own_host(mesh))
    assert (status, reply["detail"]) == (
        404,
        f"this host serves only the app demo; use {mesh.settings.public_url}{path}",
    )
    status, headers, _ = await mesh.call("GET", path, headers=own_host(mesh) | PAGE)
    assert (status, headers["Location"]) == (303, mesh.settings.public_url + path)


async def test_a_module_acts_on_no_other_module_of_the_host(mesh: Mesh) -> None:
    module = Module(
        Clear_Site_Data='"*"',
        Strict_Transport_Security="max-age=1",
        Service_Worker_Allowed="/",
        Set_Cookie="a=1; Path=/",
        NEL='{"report_to": "x", "max_age": 1, "success_fraction": 1.0}',
        Report_To='{"group": "x", "max_age": 1, "endpoints": [{"url": "https://evil.example"}]}',
        Alt_Svc='h3=":1"',
    )
    await publish_web_app(mesh, module)
    for host, cookie, worker in (({}, "a=1; Path=/demo/", None), (own_host(mesh), "a=1; Path=/", "/")):
        _, headers, _ = await mesh.call("GET", "/demo/page/", headers=host)
        assert headers["Set-Cookie"] == cookie
        assert headers.get("Service-Worker-Allowed") == worker
        assert len({"NEL", "Report-To", "Alt-Svc"} & set(headers)) == (0 if worker is None else 3)
        assert not {"Clear-Site-Data", "Strict-Transport-Security"} & set(headers)


async def test_a_module_does_not_get_the_session_of_the_console(mesh: Mesh) -> None:
    await publish_web_app(mesh)
    await mesh.call("GET", "/demo/page/", headers={"Cookie": "mlmesh=secret; theirs=1"})
    assert mesh.component.requests[-1].headers["cookie"] == "theirs=1"
    await mesh.call("GET", "/demo/page/", headers={"Cookie": "mlmesh=secret"})
    assert "cookie" not in mesh.component.requests[-1].headers


@NO_HOSTS
async def test_without_hosts_of_apps_pages_are_sandboxed(mesh: Mesh) -> None:
    await publish_web_app(mesh)
    status, headers, _ = await mesh.call("GET", "/demo/page/", headers=PAGE)
    assert (status, headers[POLICY]) == (200, SANDBOX)
    status, headers, _ = await mesh.call("GET", "/demo/page/", headers=PAGE | own_host(mesh))
    assert (status, headers[POLICY]) == (200, SANDBOX)


@NO_HOSTS
async def test_a_sandboxed_page_reads_its_own_scripts_where_no_credentials_are_needed(mesh: Mesh) -> None:
    await publish_web_app(mesh)
    _, headers, _ = await mesh.call("GET", "/demo/page/main.js", headers={"Origin": "null"})
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers
    await publish_web_app(mesh, basic="people")
    _, headers, _ = await mesh.call("GET", "/demo/page/main.js", headers={"Origin": "null"} | ALICE)
    assert "Access-Control-Allow-Origin" not in headers


async def test_a_page_of_another_app_cannot_use_a_saved_password(mesh: Mesh) -> None:
    for origin in (f"http://evil.localhost:{mesh.url.rpartition(':')[2]}", "null"):
        status, _, _ = await mesh.call("POST", "/demo/digits/predict", data=b"{}", headers=ALICE | {"Origin": origin})
        assert status == 403
