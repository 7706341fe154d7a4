from __future__ import annotations

import socket

import pytest

from libs.common.errors import Conflict, Invalid, MeshError, Unauthorized
from services.cli.cli_errors import NotReachable
from services.cli.client import Client, url_path
from services.cli.profile import Profile
from tests.cli.fake_mesh import FakeMesh, Reply


@pytest.fixture
def client(mesh: FakeMesh) -> Client:
    return Client(Profile(mesh.url, "secret-token"))


def test_a_call_carries_the_token_the_query_and_json(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("POST", "/api/v1/x", {"fine": True})
    assert client.post("/api/v1/x", {"a": 1}, wait=True, cursor=None) == {"fine": True}
    request = mesh.requests[0]
    assert (request.json(), request.query) == ({"a": 1}, {"wait": "true"})
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["content-type"] == "application/json"


def test_without_a_token_nothing_is_shown(mesh: FakeMesh) -> None:
    mesh.set_replies("GET", "/x", Reply(204))
    assert Client(Profile(mesh.url, "")).get("/x") is None
    assert "authorization" not in mesh.requests[0].headers


def test_every_page_of_a_list_is_read(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", {"items": [1, 2], "next": "c"}, {"items": [3], "next": None})
    assert list(client.iterate_pages("/x", limit=2)) == [1, 2, 3]
    assert [request.query for request in mesh.requests] == [{"limit": "2"}, {"limit": "2", "cursor": "c"}]


def test_a_problem_document_comes_back_as_the_error_that_it_was(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", Reply(422, {"status": 422, "detail": "no", "errors": [{"message": "m"}]}))
    with pytest.raises(Invalid) as raised:
        client.get("/x")
    assert (raised.value.detail, raised.value.extensions) == ("no", {"errors": [{"message": "m"}]})


def test_an_answer_of_something_else_is_quoted(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", Reply(409, b"<h1>Conflict</h1>"))
    with pytest.raises(Conflict, match="<h1>Conflict</h1>"):
        client.get("/x")


def test_a_server_error_names_the_request_to_look_for_in_the_log(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", Reply(500, {"detail": "broken", "request_id": "r1"}))
    with pytest.raises(MeshError, match=r"broken \(request r1\)"):
        client.get("/x")


def test_a_refusal_says_how_to_get_in(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", Reply(401, {"detail": "no such token."}))
    with pytest.raises(
        Unauthorized, match=f"no such token; this is {mesh.url}: set MLMESH_TOKEN, or type: mlmesh login"
    ):
        client.get("/x")


def test_a_redirect_is_not_followed_with_the_token(mesh: FakeMesh, client: Client) -> None:
    mesh.set_replies("GET", "/x", Reply(302, headers={"Location": "/elsewhere"}))
    with pytest.raises(MeshError):
        client.get("/x")
    assert [request.path for request in mesh.requests] == ["/x"]


def test_an_address_where_nothing_listens_is_not_reachable() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(NotReachable, match=f"no mesh answers at {url} .* start one with: mlmesh up"):
            Client(Profile(url, "")).get("/x")


def test_a_proxy_is_not_asked_for_this_machine(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    mesh.set_replies("GET", "/x", {})
    assert Client(Profile(mesh.url, "")).get("/x") == {}


def test_segments_of_a_path_are_quoted() -> None:
    assert url_path("app", "a b", "../c", "ä") == "/app/a%20b/..%2Fc/%C3%A4"
