"""`git push` with a real client to the registry: what is stored, deployed, refused and told."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import signal
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from libs.common import identity
from services.registry.hosting import push_receiver
from services.registry.hosting.packet_lines import FLUSH, encode_packet
from services.registry.hosting.push_receiver import MAX_UPDATES
from tests.registry.conftest import ADMIN_HEADERS, TOKEN, Registry, StartRegistry, poll_until
from tests.registry.working_copy import IDENTITY, MODULE, PROTECTED_API, WorkingCopy

ADMIN_TOKEN = "the-admin-token"
OTHER_COMPONENT = MODULE["manifests/component.yaml"].replace("digits:1", "digits:2")


def git_arguments(token: str) -> list[str]:
    """The headers that the gateway adds: its own token, and the client's Authorization under another name."""
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    headers = (f"Authorization: Bearer {TOKEN}", f"X-Mlmesh-Authorization: Basic {basic}")
    return ["git", *IDENTITY, *(part for header in headers for part in ("-c", f"http.extraHeader={header}"))]


class Remote:
    """The built-in repository of an app, as a client with a token sees it."""

    def __init__(self, registry: Registry, app: str = "leafscan", token: str = ADMIN_TOKEN) -> None:
        self.registry, self.app, self.token = registry, app, token
        self.url = f"{registry.url}/git/{app}.git"

    async def start(self, copy: WorkingCopy, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *git_arguments(self.token), *arguments, cwd=copy.folder, stdout=PIPE, stderr=PIPE,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}, start_new_session=True,
        )  # fmt: skip

    async def run(self, copy: WorkingCopy, *arguments: str) -> tuple[int, str]:
        """Exit code and what the person reads."""
        process = await self.start(copy, *arguments)
        out, errors = await process.communicate()
        lines = [line.rstrip() for line in (out + errors).decode().splitlines()]
        return process.returncode or 0, "\n".join(lines)

    async def push(self, copy: WorkingCopy, *refs: str) -> tuple[int, str]:
        return await self.run(copy, "push", self.url, *(refs or ("main",)))

    async def push_live(self, copy: WorkingCopy, *refs: str) -> str:
        """A push whose deployment the scheduler reports as live."""
        pushing = asyncio.ensure_future(self.push(copy, *refs))
        await wait_for_deployments(self.registry, self.app)
        await self.registry.make_live(self.app)
        code, text = await pushing
        assert code == 0, text
        return text


async def wait_for_deployments(registry: Registry, app: str = "leafscan") -> None:
    await poll_until(
        lambda: registry.call("GET", f"/api/v1/apps/{app}/deployments"),
        lambda answer: answer.status == 200 and bool(answer.body["items"]),
    )


async def count_deployments(registry: Registry, app: str = "leafscan") -> int:
    return len((await registry.get(f"/api/v1/apps/{app}/deployments"))["items"])


async def test_the_first_push_makes_the_app_and_tells_its_way_to_live(
    each_registry: Registry, working_copy: WorkingCopy
) -> None:
    remote, commit = Remote(each_registry), working_copy.git("rev-parse", "HEAD")
    text = await remote.push_live(working_copy)
    app = await each_registry.get("/api/v1/apps/leafscan")
    assert (app["title"], app["live"]["commit"], app["live"]["trigger"]) == ("leafscan", commit, "push")
    assert app["live"]["caused_by"] == "token admin"
    assert app["repository"]["url"].endswith("/git/leafscan.git")
    assert (app["repository"]["branch"], app["repository"]["head"]) == ("main", commit)
    order = ("the manifests are valid (", "deploying, as deployment ", "  fetch: commit ", "live after ", "/predict")
    places = [text.find(f"remote: {part}" if part != "/predict" else part) for part in order]
    assert -1 not in places, text
    assert places == sorted(places), text


async def test_a_push_with_a_mistake_is_refused_with_its_place_and_leaves_no_trace(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": MODULE["manifests/api.yml"].replace("path: digits", "paht: digits")})
    code, text = await Remote(registry).push(working_copy)
    assert (code, "[remote rejected] main -> main (pre-receive hook declined)" in text) == (1, True)
    assert 'remote: manifests/api.yml:6:16: unknown field "paht"; did you mean "path"?' in text
    assert (await registry.call("GET", "/api/v1/apps/leafscan")).status == 404
    assert await Remote(registry).run(working_copy, "ls-remote", Remote(registry).url) == (0, "")


async def test_the_next_push_is_deployed_and_another_branch_only_stored(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    remote = Remote(registry)
    await remote.push_live(working_copy)
    second = working_copy.commit({"manifests/component.yaml": OTHER_COMPONENT})
    await remote.push_live(working_copy)
    working_copy.git("tag", "v1")
    code, text = await remote.push(working_copy, "main:other", "v1")
    assert (code, "remote: stored, not deployed: leafscan is deployed from the branch main" in text) == (0, True)
    assert await count_deployments(registry) == 2
    code, refs = await remote.run(working_copy, "ls-remote", "--heads", "--tags", remote.url)
    assert [line.split() for line in refs.splitlines()] == [
        [second, "refs/heads/main"], [second, "refs/heads/other"], [second, "refs/tags/v1"]
    ]  # fmt: skip


async def test_the_first_branch_is_followed_whatever_its_name(registry: Registry, working_copy: WorkingCopy) -> None:
    remote = Remote(registry)
    await remote.push_live(working_copy, "main:trunk")
    assert (await registry.get("/api/v1/apps/leafscan"))["repository"]["branch"] == "trunk"
    clone = WorkingCopy(working_copy.folder.parent / "clone")
    assert (await remote.run(clone, "clone", "--quiet", remote.url, "checked"))[0] == 0
    assert clone.git("-C", "checked", "branch", "--show-current") == "trunk"
    code, text = await remote.push(working_copy, ":trunk")
    assert (code, "is deployed from the branch trunk, so it cannot be deleted" in text) == (1, True)


@pytest.mark.parametrize("protocol", ["0", "2"])
@pytest.mark.parametrize("options", [(), ("--depth=1",), ("--filter=blob:none", "--no-checkout")])
async def test_clones_of_all_kinds(
    registry: Registry, working_copy: WorkingCopy, protocol: str, options: tuple[str, ...]
) -> None:
    second = working_copy.commit({"manifests/component.yaml": OTHER_COMPONENT})
    remote = Remote(registry)
    await remote.push_live(working_copy)
    clone = WorkingCopy(working_copy.folder.parent / "clone")
    arguments = ("-c", f"protocol.version={protocol}", "clone", "--quiet", *options, remote.url, "checked")
    assert await remote.run(clone, *arguments) == (0, "")
    assert clone.git("-C", "checked", "rev-parse", "HEAD") == second
    history = clone.git("-C", "checked", "rev-list", "--count", "HEAD")
    assert history == ("1" if "--depth=1" in options else "2")


async def test_a_deployment_that_waits_ends_the_push_with_what_to_do(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    code, text = await Remote(registry).push(working_copy)
    assert (code, "set it with: mlmesh secret set leafscan api-users alice" in text) == (0, True)


async def test_a_client_that_is_killed_does_not_end_its_deployment(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    process = await Remote(registry).start(working_copy, "push", Remote(registry).url, "main")
    await wait_for_deployments(registry)
    os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()
    assert (await registry.make_live())["status"] == "live"


async def test_of_two_pushes_at_once_one_wins_and_the_other_hears_it(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    remote = Remote(registry)
    await remote.push_live(working_copy)
    copies = [WorkingCopy(working_copy.folder.parent / name) for name in "ab"]
    for number, copy in enumerate(copies):
        await remote.run(copy, "pull", "--quiet", remote.url, "main")
        copy.commit({"manifests/component.yaml": OTHER_COMPONENT.replace(":2", f":{number + 3}")})
    pushing = [asyncio.ensure_future(remote.push(copy, "HEAD:main")) for copy in copies]
    live = await registry.make_live()
    ended = await asyncio.gather(*pushing)
    assert sorted(code for code, _ in ended) == [0, 1]
    winner = copies[[code for code, _ in ended].index(0)]
    assert (live["commit"], await count_deployments(registry)) == (winner.git("rev-parse", "HEAD"), 2)


async def test_what_git_has_stored_is_deployed_even_if_the_registry_ends_before(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    async with start_registry(sqlite_url) as registry:
        await Remote(registry).push_live(working_copy)
        await registry.apply_hosted(poll_interval="1s")
    second = working_copy.commit({"manifests/component.yaml": OTHER_COMPONENT})
    working_copy.git("push", "--quiet", str(tmp_path / "host/registry/repositories/leafscan.git"), "main")
    async with start_registry(sqlite_url) as registry:
        assert (await registry.make_live())["commit"] == second


async def test_a_deleted_app_takes_its_repository_along(
    registry: Registry, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    await Remote(registry).push_live(working_copy)
    folder = tmp_path / "host/registry/repositories/leafscan.git"
    assert folder.is_dir()
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    assert (await registry.call("DELETE", "/api/v1/apps/leafscan")).status == 204

    async def is_there() -> bool:
        return folder.exists()

    await poll_until(is_there, lambda found: not found)


async def test_a_push_right_after_the_app_was_deleted_makes_a_new_one(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    remote = Remote(registry)
    await remote.push_live(working_copy)
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (503, {"detail": "away"})
    await registry.call("DELETE", "/api/v1/apps/leafscan")
    pushing = asyncio.ensure_future(remote.push_live(working_copy))

    async def count_tries() -> int:
        return registry.peers.requests.count("DELETE /internal/apps/leafscan")

    await poll_until(count_tries, lambda tries: tries > 3)
    registry.peers.responses["DELETE /internal/apps/leafscan"] = (204, None)
    assert "the manifests are valid" in await pushing


async def new_token(registry: Registry, *scopes: str) -> str:
    answer = await registry.call("POST", "/api/v1/tokens", {"name": "t", "scopes": list(scopes)})
    assert answer.status == 201, answer.body
    return str(answer.body["token"])


@pytest.mark.parametrize(
    ("scope", "pushed", "fetched"),
    [("write:leafscan", 0, 0), ("write", 0, 0), ("read:leafscan", 128, 0), ("write:other", 128, 128)],
)
async def test_who_may_push_and_fetch(
    registry: Registry, working_copy: WorkingCopy, scope: str, pushed: int, fetched: int
) -> None:
    admin = Remote(registry)
    await admin.push_live(working_copy)
    remote = Remote(registry, token=await new_token(registry, scope))
    code, text = await remote.push(working_copy, "main:other")
    assert code == pushed, text
    assert ("lacks the scope 'develop'" in text) is bool(pushed)
    assert (await remote.run(working_copy, "ls-remote", remote.url))[0] == fetched


@pytest.mark.parametrize(
    ("app", "detail"),
    [
        ("Leaf", 'cannot be the name of an app; use lower-case letters, digits and "-"'),
        ("a" * 64, "cannot be the name of an app"),
        ("api", '"api" is reserved; choose another name'),
        ("..%2f..%2fetc", "not found"),
    ],
)
async def test_names_that_no_app_can_have(registry: Registry, working_copy: WorkingCopy, app: str, detail: str) -> None:
    code, text = await Remote(registry, app).push(working_copy)
    assert (code, detail in text) == (128, True), text


async def test_an_app_that_is_deployed_from_elsewhere_takes_no_push(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await registry.apply(working_copy)
    code, text = await Remote(registry).push(working_copy)
    assert (code, "is deployed from file://" in text, "remove the url from its Repository" in text) == (128, True, True)


async def test_a_repository_without_a_url_waits_for_the_first_push(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    assert (await registry.apply_hosted(branch="trunk")).status == 200
    assert await count_deployments(registry) == 0
    refused = await registry.call("POST", "/api/v1/apps/leafscan/sync")
    assert refused.status == 202
    failed = await registry.wait_for_status("failed")
    assert "nothing was pushed yet; push the first commit with: git push " in failed["errors"][0]["message"]
    await Remote(registry).push_live(working_copy, "main:trunk")
    assert (await registry.get("/api/v1/apps/leafscan"))["title"] == "Leaf scan"


def _link(copy: WorkingCopy) -> None:
    (copy.folder / "manifests/link.yml").symlink_to("/etc/hostname")


def _link_folder(copy: WorkingCopy) -> None:
    (copy.folder / "manifests").rename(copy.folder / "real")
    (copy.folder / "manifests").symlink_to("real")


def _remove(copy: WorkingCopy) -> None:
    copy.git("rm", "-r", "--quiet", "manifests")


def _write_large(copy: WorkingCopy) -> None:
    (copy.folder / "manifests/large.yml").write_bytes(b"#" * 2_000_000)


def _write_pointer(copy: WorkingCopy) -> None:
    (copy.folder / "manifests/api.yml").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")


@pytest.mark.parametrize("spoil", [_link, _link_folder, _remove, _write_large, _write_pointer])
async def test_manifests_that_cannot_be_read_refuse_the_push(
    registry: Registry, working_copy: WorkingCopy, spoil: Any
) -> None:
    spoil(working_copy)
    working_copy.commit({})
    code, text = await Remote(registry).push(working_copy)
    assert (code, "remote: manifests" in text) == (1, True), text


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "info/refs", 400, "smart protocol"),
        ("GET", "info/refs?service=git-upload-archive", 400, "smart protocol"),
        ("GET", "info/refs?service=git-upload-pack", 404, "there is no repository leafscan here"),
        ("POST", "git-receive-pack", 400, "the Content-Type must be application/x-git-receive-pack-request"),
        ("POST", "info/lfs/objects/batch", 501, "keep large files in a DataBox: mlmesh box put"),
    ],
)
async def test_requests_that_are_no_push_and_no_fetch(
    registry: Registry, method: str, path: str, status: int, text: str
) -> None:
    headers = {"X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}"}
    answer = await registry.call(method, f"/git/leafscan.git/{path}", headers=headers)
    assert (answer.status, text in str(answer.body)) == (status, True), answer.body
    if status != 501:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("authorization", ["", "Basic", "Basic !", "Basic eDo=", "Bearer wrong", "Digest x"])
async def test_without_a_valid_token_git_is_asked_for_one(registry: Registry, authorization: str) -> None:
    headers = {"X-Mlmesh-Authorization": authorization} if authorization else {}
    answer = await registry.call("GET", "/git/leafscan.git/info/refs?service=git-receive-pack", headers=headers)
    assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert {**ADMIN_HEADERS}.keys() == {identity.HEADER_SCOPES, identity.HEADER_TOKEN_NAME}  # they do not count here
    answer = await registry.call("GET", "/git/leafscan.git/info/refs?service=git-receive-pack", headers=ADMIN_HEADERS)
    assert answer.status == 401


async def test_rubbish_in_a_push_ends_with_an_answer(registry: Registry) -> None:
    headers = {
        "X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}",
        "Content-Type": "application/x-git-receive-pack-request",
    }
    for body in (b"", b"zzzz", b"0000", b"ffff" + b"x" * 100, os.urandom(5000)):
        answer = await registry.call("POST", "/git/leafscan.git/git-receive-pack", body, headers)
        assert answer.status == 200
    packed = {**headers, "Content-Encoding": "gzip"}
    assert (await registry.call("POST", "/git/leafscan.git/git-receive-pack", b"no gzip", packed)).status == 200
    assert (await registry.call("GET", "/api/v1/apps/leafscan")).status == 404


@pytest.mark.parametrize(("name", "shown"), [(b"a\nb", '"refs/heads/a\\nb"'), (b"\xff", '"refs/heads/\\udcff"')])
async def test_a_branch_whose_name_is_not_allowed_is_refused_with_its_name(
    registry: Registry, working_copy: WorkingCopy, name: bytes, shown: str
) -> None:
    commit, pack = working_copy.pack_head()
    command = encode_packet(f"{'0' * 40} {commit} refs/heads/".encode() + name + b"\0report-status side-band-64k")
    headers = {
        "X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}",
        "Content-Type": "application/x-git-receive-pack-request",
    }
    body = command + b"0000" + pack
    answer = await registry.call("POST", "/git/leafscan.git/git-receive-pack", body, headers)
    assert f"{shown} is not allowed as a name; use letters".encode() in answer.body, answer.body
    assert (await registry.call("GET", "/api/v1/apps/leafscan")).status == 404


async def test_a_fetch_whose_body_breaks_off_leaves_nothing_running(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    await Remote(registry).push_live(working_copy)
    headers = {
        "X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}",
        "Content-Type": "application/x-git-upload-pack-request",
        "Content-Encoding": "gzip",
    }
    trailing = gzip.compress(b"0000") + b"x" * 1000
    for body in (b"garbage!", trailing, gzip.compress(b"0" * (17 * 2**20))):
        assert (await registry.call("POST", "/git/leafscan.git/git-upload-pack", body, headers)).status == 200
    host, port = registry.url.removeprefix("http://").split(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        "POST /git/leafscan.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        f"Authorization: Bearer {TOKEN}\r\nX-Mlmesh-Authorization: Bearer {ADMIN_TOKEN}\r\n"
        "Content-Type: application/x-git-upload-pack-request\r\n\r\n0032"
    )
    writer.write(head.encode())
    await writer.drain()
    writer.close()

    async def list_running() -> list[str]:
        commands = (Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit())
        texts = (command.read_bytes() for command in commands if command.exists())
        return [text.decode() for text in texts if b"upload-pack" in text and b"stateless-rpc" in text]

    await poll_until(list_running, lambda found: not found)


@pytest.mark.parametrize("kind", ["sparse:oid=HEAD:shout", "combine:tree:5+blob:none", "tree:3"])
async def test_filters_that_cost_much_are_refused(registry: Registry, working_copy: WorkingCopy, kind: str) -> None:
    remote = Remote(registry)
    await remote.push_live(working_copy)
    clone = WorkingCopy(working_copy.folder.parent / "clone")
    code, text = await remote.run(clone, "clone", "--quiet", f"--filter={kind}", "--no-checkout", remote.url, "checked")
    assert (code, "filter" in text) == (128, True), text


async def test_a_push_of_too_many_branches_is_refused_and_stores_nothing(
    registry: Registry, working_copy: WorkingCopy
) -> None:
    """Without Git's client, which takes a minute for so many."""
    remote, zero = Remote(registry), "0" * 40
    await remote.push_live(working_copy)
    head = working_copy.git("rev-parse", "HEAD")
    commands = [f"{zero} {head} refs/heads/branch-{number}".encode() for number in range(MAX_UPDATES + 1)]
    commands[0] += b"\0 report-status side-band-64k"
    body = b"".join(map(encode_packet, commands)) + FLUSH
    headers = {
        "X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}",
        "Content-Type": "application/x-git-receive-pack-request",
    }
    answer = await registry.call("POST", "/git/leafscan.git/git-receive-pack", body, headers)
    assert (answer.status, b"\x03this push moves too many branches and tags" in answer.body) == (200, True)
    assert len((await remote.run(working_copy, "ls-remote", "--heads", remote.url))[1].splitlines()) == 1


async def test_a_push_that_breaks_off_leaves_no_objects(
    registry: Registry, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    await Remote(registry).push_live(working_copy)
    left = tmp_path / "host/registry/repositories/leafscan.git/objects/tmp_objdir-incoming-x"
    left.mkdir()
    (left / "pack").write_bytes(b"x")
    assert (await Remote(registry).push(working_copy, "main:other"))[0] == 0

    async def is_there() -> bool:
        return left.exists()

    await poll_until(is_there, lambda found: not found)


async def test_of_two_first_pushes_both_follow_the_same_branch(
    registry: Registry, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    remote = Remote(registry)
    pushing = [asyncio.ensure_future(remote.push(working_copy, f"main:{name}")) for name in ("main", "dev")]
    await wait_for_deployments(registry)
    await registry.make_live()
    ended = await asyncio.gather(*pushing)
    followed = (await registry.get("/api/v1/apps/leafscan"))["repository"]["branch"]
    head = (tmp_path / "host/registry/repositories/leafscan.git/HEAD").read_text()
    assert head == f"ref: refs/heads/{followed}\n"
    other = "dev" if followed == "main" else "main"
    loser = ended[("main", "dev").index(other)][1]
    assert f"leafscan is deployed from the branch {followed}" in loser or "live after" in loser


async def test_a_push_that_finds_no_place_is_told_so_in_the_answer_that_git_shows(
    start_registry: StartRegistry, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an HTTP error it shows the number alone."""
    monkeypatch.setattr(push_receiver, "MAX_PUSHES_PER_APP", 0)
    body = encode_packet(f"{'0' * 40} {'1' * 40} refs/heads/main\0 side-band-64k".encode()) + FLUSH
    headers = {
        "X-Mlmesh-Authorization": f"Bearer {ADMIN_TOKEN}",
        "Content-Type": "application/x-git-receive-pack-request",
    }
    async with start_registry(sqlite_url) as registry:
        answer = await registry.call("POST", "/git/leafscan.git/git-receive-pack", body, headers)
    assert (answer.status, b"\x03too many pushes at once; try again in a moment" in answer.body) == (200, True)
