"""Remotes over HTTP and ssh: credentials, redirects, addresses, servers that do not respond."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from libs.common.http.addresses import Address, NetworkPolicy
from services.registry.git.address_policy import FOLDER_NOT_ALLOWED, AddressPolicy
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.cache import GitCache
from services.registry.git.client import GitClient
from services.registry.git.credentials import Credentials
from services.registry.git.error_messages import GitFailed
from services.registry.git.remotes import GitRemote
from tests.registry.working_copy import WorkingCopy


@pytest.mark.parametrize(
    ("url", "branch", "reason"),
    [
        ("file:///nowhere/at/all", "main", FOLDER_NOT_ALLOWED),
        ("ext::sh -c touch% /tmp/mlmesh-owned", "main", "begins with https://, ssh:// or file://"),
        ("git://127.0.0.1:1/x", "main", "begins with https://, ssh:// or file://"),
        ("http://127.0.0.1:1/x", "main", "unable to access 'http://127.0.0.1:1/x/'"),
    ],
)
async def test_what_git_cannot_fetch_is_told_in_its_own_words(
    git_cache: GitCache, working_copy: WorkingCopy, url: str | None, branch: str, reason: str
) -> None:
    with pytest.raises(GitFailed) as failed:
        await git_cache.fetch("leafscan", GitRemote(url or working_copy.url, branch))
    assert reason in failed.value.detail
    assert "\n" not in failed.value.detail


@pytest.fixture
async def auth_server() -> AsyncIterator[str]:
    """A server that requires credentials: 404 for the right ones, 401 for all others."""

    async def refuse(request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        right = header == "Basic " + b64encode(b"bob:right").decode()
        return web.Response(status=404 if right else 401, headers={"WWW-Authenticate": 'Basic realm="git"'})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/team/module"
    await runner.cleanup()


async def test_bad_credentials_are_told_without_being_shown(git_cache: GitCache, auth_server: str) -> None:
    origin = GitRemote(auth_server, credentials=Credentials("bob", "sesame"))
    with pytest.raises(GitFailed, match="Authentication failed for 'http://") as failed:
        await git_cache.fetch("leafscan", origin)
    assert "sesame" not in failed.value.detail
    with pytest.raises(GitFailed, match="Authentication failed"):
        await git_cache.read_remote_head(origin)


async def test_good_credentials_reach_the_server(git_cache: GitCache, auth_server: str) -> None:
    with pytest.raises(GitFailed, match="not found"):
        await git_cache.fetch("leafscan", GitRemote(auth_server, credentials=Credentials("bob", "right")))


async def test_missing_credentials_never_prompt(git_cache: GitCache, auth_server: str) -> None:
    with pytest.raises(GitFailed, match=r"could not read Username .*: terminal prompts disabled"):
        await git_cache.fetch("leafscan", GitRemote(auth_server))


class RedirectingServer:
    """A server that redirects requests to `location`, except those below `served`, and records them."""

    def __init__(self) -> None:
        self.location, self.served, self.requests, self.port = "", "", list[str](), 0

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.headers['Host'].partition(':')[0]}{request.path_qs}")
        if self.served and request.path.startswith(self.served):
            return web.Response(status=404)
        return web.Response(status=302, headers={"Location": self.location})


@pytest.fixture
async def redirecting_server() -> AsyncIterator[RedirectingServer]:
    server = RedirectingServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@pytest.mark.parametrize("spelling", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_host_in_a_network_that_is_not_allowed_is_never_asked(
    tmp_path: Path, redirecting_server: RedirectingServer, spelling: str
) -> None:
    source = GitCache(
        tmp_path / "git", GitClient(tmp_path / "home"), AddressPolicy(AllowedFolders([], []), ["10.0.0.0/8"])
    )
    with pytest.raises(GitFailed, match="does not allow"):
        await source.read_remote_head(GitRemote(f"http://{spelling}:{redirecting_server.port}/a"))
    with pytest.raises(GitFailed, match="does not allow"):
        await source.fetch("leafscan", GitRemote(f"http://{spelling}:{redirecting_server.port}/a"))
    assert redirecting_server.requests == []


async def test_a_redirect_to_another_place_is_told_and_not_followed(
    git_cache: GitCache, redirecting_server: RedirectingServer
) -> None:
    host = f"http://127.0.0.1:{redirecting_server.port}"
    redirecting_server.location = (
        f"http://bob:sesame@localhost:{redirecting_server.port}/b.git/info/refs?service=git-upload-pack"
    )
    with pytest.raises(GitFailed) as failed:
        await git_cache.fetch("leafscan", GitRemote(f"{host}/a"))
    assert failed.value.detail == (
        f"{host}/a redirects to http://localhost:{redirecting_server.port}/b.git, which is not followed; "
        "if the repository is there, write that address into the Repository (url)"
    )
    assert {request.partition("/")[0] for request in redirecting_server.requests} == {"127.0.0.1"}


async def test_a_redirect_to_another_path_of_the_same_place_is_followed(
    git_cache: GitCache, redirecting_server: RedirectingServer
) -> None:
    redirecting_server.location, redirecting_server.served = "/a.git/info/refs?service=git-upload-pack", "/a.git/"
    with pytest.raises(GitFailed, match=rf"repository 'http://127.0.0.1:{redirecting_server.port}/a.git/' not found"):
        await git_cache.fetch("leafscan", GitRemote(f"http://127.0.0.1:{redirecting_server.port}/a"))


async def test_redirects_have_an_end(git_cache: GitCache, redirecting_server: RedirectingServer) -> None:
    redirecting_server.location = "/a.git/info/refs?service=git-upload-pack"
    with pytest.raises(GitFailed, match="redirects more than 3 times"):
        await git_cache.read_remote_head(GitRemote(f"http://127.0.0.1:{redirecting_server.port}/a"))


async def test_ssh_goes_to_the_next_address_of_a_host_that_does_not_answer_at_one(
    git_cache: GitCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens at the first address; at the second a server answers that is not ssh."""
    addresses: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        addresses.append(writer.get_extra_info("sockname")[0])
        writer.write(b"hello\r\n")
        writer.close()

    async def find(self: NetworkPolicy, host: str, port: int = 0) -> list[Address]:
        return [ip_address("127.0.0.1"), ip_address("127.0.0.2")]

    monkeypatch.setattr(NetworkPolicy, "resolve", find)
    async with await asyncio.start_server(answer, "127.0.0.2", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(GitFailed):
            await git_cache.read_remote_head(GitRemote(f"ssh://git@two.example:{port}/a"))
    assert addresses == ["127.0.0.2"]


SILENT = "the repository's server sent nothing for 0.5 s; Git was stopped"


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/a", "https://127.0.0.1:{}/a", "ssh://git@127.0.0.1:{}/a"])
async def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path, form: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    source = GitCache(
        tmp_path / "git",
        GitClient(tmp_path / "home"),
        AddressPolicy(AllowedFolders([], []), ["127.0.0.0/8"]),
        idle_timeout=0.5,
    )
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        with pytest.raises(GitFailed) as failed:
            await source.fetch("leafscan", GitRemote(form.format(server.sockets[0].getsockname()[1])))
        assert failed.value.detail == SILENT
