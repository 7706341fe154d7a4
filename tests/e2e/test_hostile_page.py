"""A module's page against the callers of another module, in a real browser that remembers a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import pytest

from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from tests.browser import run_chromium
from tests.e2e.application import ALICE, BOXES, COMPONENT, Application

SECRET = "alice's secret"
FUNCTION = """\
def shout(text: str) -> dict:
    with open({calls!r}, "a") as calls:
        calls.write(text + "\\n")
    return {{"said": text.upper()}}
"""
PAGE_MANIFEST = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: page}
spec:
  image: {existingImageName: "mlmesh-test/python:1"}
  mlService: {app: 'page:app'}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: page}
spec:
  mlComponent: {name: page}
  restfulApi: {path: page, auth: {none: {}}}
"""
APPLICATION = """\
import pathlib

HTML = pathlib.Path("page.html").read_bytes()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    kind = b"text/javascript" if scope["path"].endswith(".js") else b"text/html"
    headers = [(b"content-type", kind), (b"set-cookie", b"tossed=by-header; Path=/"),
               (b"clear-site-data", b'"*"'), (b"service-worker-allowed", b"/")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HTML})
"""
SAVED = quote(ALICE, safe=":")
PAGE = (Path(__file__).parent / "hostile_page.html").read_text()
PATHS = ["/shout/docs", "/files/results/g/", "/files/results/g/secret.txt?download=1", "/runs"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with run_chromium() as browser:
        yield browser


@pytest.fixture(params=["a host for each app", "one host"])
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path / "mesh")
    mesh.folder.mkdir()
    if request.param == "one host":
        mesh.environ["MLMESH_APP_HOSTS"] = ""
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


def test_the_page_of_a_module_reads_and_does_nothing_in_the_name_of_another_modules_caller(
    mesh: Mesh, chromium: Any, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    with closing(Api(mesh.url, mesh.token)) as api:
        victim, evil = Application(mesh, api, "victim"), Application(mesh, api, "evil")
        manifests = {"manifests/all.yml": BOXES + "---\n" + COMPONENT}
        victim.start({**manifests, "service.py": FUNCTION.format(calls=str(calls))})
        victim.call("PUT", "/files/results/g/secret.txt", SECRET.encode())
        hosts = [mesh.url, *(mesh.url.replace("127.0.0.1", name) for name in ("victim.localhost", "localhost"))]
        page = Template(PAGE).substitute(victims=[f"{host}/victim" for host in hosts], paths=PATHS)
        evil.push({"manifests/page.yml": PAGE_MANIFEST, "page.py": APPLICATION, "page.html": page})
        evil.attach(users=())
        assert evil.settled()["status"] == "live"

        context = chromium.new_context()
        visitor = context.new_page()
        for host in hosts:
            visitor.goto(f"{host.replace('://', f'://{SAVED}@')}/victim/shout/docs")
            assert "shout" in visitor.content()
        visitor.goto(f"{mesh.url}/evil/page/")
        visitor.wait_for_function("document.title == 'done'", polling=200, timeout=60_000)
        stolen = visitor.evaluate("window.stolen")
        assert [found for found in stolen if found[0] != "worker"] == []
        assert context.cookies([f"{host}/victim/" for host in hosts]) == []
        visitor.goto(f"{mesh.url}/victim/shout/docs")  # the password is still remembered
        assert "shout" in visitor.content()
        context.close()
        assert not calls.exists()
        listed = victim.call("GET", "/files/results/g/").json()["items"]
        assert [file["name"] for file in listed] == ["secret.txt"]
