"""Repositories read with real Git: local ones over file://, a refusing one over HTTP."""

import asyncio
import io
import os
import shutil
import tarfile
from base64 import b64encode
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from libs.common.http.addresses import Address, Reach
from libs.common.manifests import Problem
from libs.common.manifests.repository import location
from libs.common.python_packages import unread
from libs.common.repository_tree import LINK, Item
from services.registry.git.address_policy import NO_FOLDER, Locations
from services.registry.git.allowed_folders import Folders
from services.registry.git.cache import Origin, Source
from services.registry.git.client import Git
from services.registry.git.credentials import Credentials
from services.registry.git.error_messages import GitFailed, NoBranch
from services.registry.git.tree import Contents, Entry, Refused, checked
from tests.registry.working_copy import COMPONENT, MODULE, Work

SRC = 'code below src/ cannot be imported until it is installed; add a line "." to requirements.txt'


@pytest.fixture
def source(tmp_path: Path) -> Source:
    data = tmp_path / "registry"
    return Source(data, Locations(Folders([str(tmp_path)], [data]), ["127.0.0.0/8"]))


async def test_the_head_is_asked_without_fetching(source: Source, work: Work, tmp_path: Path) -> None:
    head = work.git("rev-parse", "HEAD")
    assert await source.head(Origin(work.url)) == head
    assert list((tmp_path / "registry").glob("git/*")) == []


async def test_a_repository_below_a_folder_with_spaces_is_read(source: Source, tmp_path: Path) -> None:
    work = Work(tmp_path / "my 100% repo")
    head = work.commit(MODULE)
    for url in (location(work.url), work.folder.as_uri()):
        assert await source.head(Origin(url)) == head
        assert (await source.fetch("leafscan", Origin(url))).id == head


async def test_a_branch_is_not_confused_with_one_that_ends_alike(source: Source, work: Work) -> None:
    work.git("branch", "refs/heads/side")
    with pytest.raises(NoBranch):
        await source.head(Origin(work.url, "side"))


@pytest.mark.parametrize("way", ["asked", "fetched"])
async def test_of_a_branch_that_is_not_there_the_others_are_told(source: Source, work: Work, way: str) -> None:
    work.git("branch", "feature/x")
    for seen, missing in ((False, "there is no branch nope"), (True, "branch nope is not there any more")):
        origin = Origin(work.url, "nope", seen=seen)
        with pytest.raises(NoBranch) as failed:
            await (source.head(origin) if way == "asked" else source.fetch("leafscan", origin))
        assert failed.value.detail == f"{missing}; the repository has: feature/x, main"


async def test_a_fetch_brings_the_commit_with_its_author_and_message(source: Source, work: Work) -> None:
    commit = await source.fetch("leafscan", Origin(work.url))
    assert commit.id == work.git("rev-parse", "HEAD")
    assert commit.author == "Alice <alice@example.org>"
    assert commit.message == "the first version"
    assert commit.at == float(work.git("log", "-1", "--format=%ct"))


async def test_the_next_fetch_brings_the_next_head_also_after_a_forced_push(source: Source, work: Work) -> None:
    first = await source.fetch("leafscan", Origin(work.url))
    second = work.commit({"manifests/more.yaml": COMPONENT}, "second")
    assert (await source.fetch("leafscan", Origin(work.url))).id == second
    work.git("reset", "--quiet", "--hard", first.id)
    third = work.commit({}, "instead of the second")
    assert (await source.fetch("leafscan", Origin(work.url))).id == third


async def test_an_older_commit_is_fetched_by_its_id(source: Source, work: Work) -> None:
    first = work.git("rev-parse", "HEAD")
    work.commit({}, "second")
    assert (await source.fetch("leafscan", Origin(work.url), first)).message == "the first version"


async def test_only_manifests_of_the_folder_are_read_in_sub_folders_too(source: Source, work: Work) -> None:
    files = {
        "manifests/sub/deep.yml": "a: 1\n",
        "manifests/README.md": "no",
        "other/x.yaml": "no",
        "manifests2/x.yaml": "no",
    }
    commit = work.commit(files)
    await source.fetch("leafscan", Origin(work.url))
    found = await source.manifests("leafscan", commit, "manifests")
    assert sorted(found) == ["manifests/api.yml", "manifests/component.yaml", "manifests/sub/deep.yml"]
    assert found["manifests/component.yaml"] == COMPONENT.encode()
    assert found["manifests/sub/deep.yml"] == b"a: 1\n"
    assert sorted(await source.manifests("leafscan", commit, "other")) == ["other/x.yaml"]
    assert "other/x.yaml" in await source.manifests("leafscan", commit, ".")


async def test_names_of_any_letters_and_empty_files_are_read(source: Source, work: Work) -> None:
    commit = work.commit(
        {"manifests/über läng.yaml": "x: ü\n", "manifests/empty.yaml": "", "manifests/z\ty.yaml": "z: 1\n"}
    )
    await source.fetch("leafscan", Origin(work.url))
    found = await source.manifests("leafscan", commit, "manifests")
    assert found["manifests/über läng.yaml"] == "x: ü\n".encode()
    assert found["manifests/empty.yaml"] == b""
    assert found["manifests/z\ty.yaml"] == b"z: 1\n"


async def test_a_file_of_10_mb_is_refused_by_its_name_without_being_read(source: Source, work: Work) -> None:
    commit = work.commit({"manifests/big.yaml": b"#" * 10_000_000})
    await source.fetch("leafscan", Origin(work.url))
    with pytest.raises(Refused) as refused:
        await source.manifests("leafscan", commit, "manifests")
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == ("manifests/big.yaml", 1, 1)
    assert "10000000 bytes are too large" in problem.message


async def test_a_link_is_refused_as_a_manifest(source: Source, work: Work) -> None:
    (work.folder / "manifests/link.yaml").symlink_to("/etc/passwd")
    commit = work.commit({})
    await source.fetch("leafscan", Origin(work.url))
    with pytest.raises(Refused, match="not a regular file"):
        await source.manifests("leafscan", commit, "manifests")


async def test_manifests_whose_names_are_not_utf_8_are_all_read(source: Source, work: Work) -> None:
    for name in (b"caf\xe9.yml", b"caf\xe8.yml"):
        Path(os.fsdecode(os.fsencode(work.folder / "manifests") + b"/" + name)).write_text(COMPONENT)
    commit = work.commit({})
    await source.fetch("leafscan", Origin(work.url))
    found = await source.manifests("leafscan", commit, "manifests")
    assert {"manifests/caf\\xe9.yml", "manifests/caf\\xe8.yml"} < set(found)


async def test_a_folder_of_manifests_that_became_a_link_is_refused_as_one(source: Source, work: Work) -> None:
    (work.folder / "manifests").rename(work.folder / "deploy")
    (work.folder / "manifests").symlink_to("deploy")
    commit = work.commit({})
    await source.fetch("leafscan", Origin(work.url))
    with pytest.raises(Refused, match="a link, which is not followed; commit the folder itself"):
        await source.manifests("leafscan", commit, "manifests")


async def test_links_and_packages_of_the_whole_tree_are_found(source: Source, work: Work) -> None:
    (work.folder / "venv").mkdir()
    (work.folder / "venv/python").symlink_to("/usr/bin/python3")
    (work.folder / "long").symlink_to("x" * 4095)
    (work.folder / "pyproject.toml").symlink_to("src/other.toml")
    commit = work.commit({"requirements.txt": "numpy\n", "src/a/b.py": "1", "src/a/c/d.py": "1", "Pipfile": "x"})
    await source.fetch("leafscan", Origin(work.url))
    found = await source.contents("leafscan", commit)
    links = {item.path: item.target for item in found.items if item.mode == LINK}
    assert links == {"venv/python": "/usr/bin/python3", "long": "", "pyproject.toml": "src/other.toml"}
    assert {path: text for path, text in found.files.items() if text} == {"requirements.txt": b"numpy\n"}
    assert set(found.files) == {"long", "pyproject.toml", "requirements.txt", "Pipfile", "src/a/b.py"}
    assert list(unread(found.files)) == [Problem("src", 1, 1, SRC, "warning")]


async def test_what_is_looked_at_is_bounded(source: Source, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.git.cache.MAX_LISTED", 3)
    monkeypatch.setattr("services.registry.git.cache.MAX_READ", 25)
    for number in range(5):
        (work.folder / f"link{number}").symlink_to("/usr/bin/python3")
    commit = work.commit({})
    await source.fetch("leafscan", Origin(work.url))
    (read,) = (await source.contents("leafscan", commit)).items
    assert read == Item("link0", LINK, "/usr/bin/python3")


async def test_a_tree_that_cannot_be_listed_gives_no_warnings(source: Source, work: Work) -> None:
    await source.fetch("leafscan", Origin(work.url))
    assert await source.contents("leafscan", "0" * 40) == Contents()


async def test_a_commit_without_manifests_is_refused(source: Source, work: Work) -> None:
    commit = (await source.fetch("leafscan", Origin(work.url))).id
    with pytest.raises(Refused, match=f"there is no manifest .* in nowhere at commit {commit[:12]}"):
        await source.manifests("leafscan", commit, "nowhere")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Entry("100644", "0", 1, f"m/{n}.yaml") for n in range(501)], "501 manifests; at most 500"),
        ([Entry("100644", "0", 2**20, f"m/{n}.yaml") for n in range(11)], "at most 10485760 are read in all"),
        ([Entry("120000", "0", 1, "m/a.yaml")], "not a regular file"),
        ([Entry("160000", "0", 0, "m/a.yaml")], "not a regular file"),
    ],
)
def test_too_many_or_too_large_manifests_are_refused(entries: list[Entry], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        checked(entries, "m", "0" * 40)


async def test_the_archive_is_the_whole_tree_whatever_its_attributes_say(source: Source, work: Work) -> None:
    commit = work.commit({".gitattributes": "digits export-ignore\n*.txt export-subst\n", "v.txt": "$Format:%H$\n"})
    await source.fetch("leafscan", Origin(work.url))
    content = b"".join([piece async for piece in source.archive("leafscan", commit)])
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        assert {name for name in archive.getnames() if "." in name} == {*MODULE, ".gitattributes", "v.txt"}
        member = archive.extractfile("v.txt")
        assert member is not None
        assert member.read() == b"$Format:%H$\n"


async def test_an_archive_of_an_unknown_commit_fails_with_gits_reason(source: Source, work: Work) -> None:
    await source.fetch("leafscan", Origin(work.url))
    assert not await source.has("leafscan", "0" * 40)
    with pytest.raises(GitFailed, match="not a tree object"):
        [piece async for piece in source.archive("leafscan", "0" * 40)]


@pytest.mark.parametrize(
    ("url", "branch", "reason"),
    [
        ("file:///nowhere/at/all", "main", NO_FOLDER),
        ("ext::sh -c touch% /tmp/mlmesh-owned", "main", "begins with https://, ssh:// or file://"),
        ("git://127.0.0.1:1/x", "main", "begins with https://, ssh:// or file://"),
        ("http://127.0.0.1:1/x", "main", "unable to access 'http://127.0.0.1:1/x/'"),
    ],
)
async def test_what_git_cannot_fetch_is_told_in_its_own_words(
    source: Source, work: Work, url: str | None, branch: str, reason: str
) -> None:
    with pytest.raises(GitFailed) as failed:
        await source.fetch("leafscan", Origin(url or work.url, branch))
    assert reason in failed.value.detail
    assert "\n" not in failed.value.detail


async def test_what_a_killed_fetch_left_behind_does_not_stop_the_next(
    source: Source, work: Work, tmp_path: Path
) -> None:
    await source.fetch("leafscan", Origin(work.url))
    cache = tmp_path / "registry/git/leafscan.git"
    for leftover in ("shallow.lock", "packed-refs.lock", "refs/mlmesh/head.lock", "objects/pack/tmp_pack_x"):
        (cache / leftover).write_text("")
    second = work.commit({}, "second")
    assert (await source.fetch("leafscan", Origin(work.url))).id == second


@pytest.mark.parametrize("damaged", ["HEAD", "refs/mlmesh/head", "config", "objects/*/*", "objects", "shallow"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00" * 100])
async def test_a_damaged_copy_is_fetched_anew(
    source: Source, work: Work, tmp_path: Path, damaged: str, content: bytes
) -> None:
    await source.fetch("leafscan", Origin(work.url))
    (cache,) = tmp_path.glob("registry/git/*")
    for path in [*cache.glob(damaged)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.chmod(0o600)
            path.write_bytes(content)
    for _ in range(2):
        found = await source.fetch("leafscan", Origin(work.url))
        assert found.id == work.git("rev-parse", "HEAD")
        assert await source.manifests("leafscan", found.id, "manifests")
        work.commit({"more.txt": found.id})


async def test_a_lost_cache_is_made_again(source: Source, work: Work) -> None:
    first = await source.fetch("leafscan", Origin(work.url))
    await source.forget("leafscan")
    assert not await source.has("leafscan", first.id)
    assert await source.fetch("leafscan", Origin(work.url)) == first


async def test_folders_that_were_removed_are_made_again(source: Source, work: Work, tmp_path: Path) -> None:
    head = work.git("rev-parse", "HEAD")
    await source.fetch("leafscan", Origin(work.url), head)
    shutil.rmtree(tmp_path / "registry")
    assert await source.head(Origin(work.url)) == head
    await source.fetch("leafscan", Origin(work.url), head)
    assert b"".join([piece async for piece in source.archive("leafscan", head)])
    assert (tmp_path / "registry/home/gitconfig").read_text()


async def test_hooks_and_configuration_of_the_repository_and_of_this_user_do_not_run(
    source: Source, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    hook = work.folder / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "file:///elsewhere"]\n\tinsteadOf = {work.url}\n[core]\n\tfsmonitor = "touch {trap}"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert (await source.fetch("leafscan", Origin(work.url))).message == "the first version"
    assert not trap.exists()


async def test_two_fetches_of_one_app_at_once_both_succeed(source: Source, work: Work) -> None:
    both = await asyncio.gather(*(source.fetch("leafscan", Origin(work.url)) for _ in range(2)))
    assert both[0] == both[1]


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """A server that wants credentials, and refuses them all but remembers none."""

    async def refuse(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        right = given == "Basic " + b64encode(b"bob:right").decode()
        return web.Response(status=404 if right else 401, headers={"WWW-Authenticate": 'Basic realm="git"'})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/team/module"
    await runner.cleanup()


async def test_bad_credentials_are_told_without_being_shown(source: Source, refusing: str) -> None:
    origin = Origin(refusing, credentials=Credentials("bob", "sesame"))
    with pytest.raises(GitFailed, match="Authentication failed for 'http://") as failed:
        await source.fetch("leafscan", origin)
    assert "sesame" not in failed.value.detail
    with pytest.raises(GitFailed, match="Authentication failed"):
        await source.head(origin)


async def test_good_credentials_reach_the_server(source: Source, refusing: str) -> None:
    with pytest.raises(GitFailed, match="not found"):
        await source.fetch("leafscan", Origin(refusing, credentials=Credentials("bob", "right")))


async def test_missing_credentials_never_prompt(source: Source, refusing: str) -> None:
    with pytest.raises(GitFailed, match=r"could not read Username .*: terminal prompts disabled"):
        await source.fetch("leafscan", Origin(refusing))


class Redirecting:
    """A server that sends every question to `location` but those about `served`, and knows what it was asked."""

    def __init__(self) -> None:
        self.location, self.served, self.asked, self.port = "", "", list[str](), 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.headers['Host'].partition(':')[0]}{request.path_qs}")
        if self.served and request.path.startswith(self.served):
            return web.Response(status=404)
        return web.Response(status=302, headers={"Location": self.location})


@pytest.fixture
async def redirecting() -> AsyncIterator[Redirecting]:
    found = Redirecting()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.mark.parametrize("spelling", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_host_in_a_network_that_is_not_allowed_is_never_asked(
    tmp_path: Path, redirecting: Redirecting, spelling: str
) -> None:
    source = Source(tmp_path / "registry", Locations(Folders([], []), ["10.0.0.0/8"]))
    with pytest.raises(GitFailed, match="does not allow"):
        await source.head(Origin(f"http://{spelling}:{redirecting.port}/a"))
    with pytest.raises(GitFailed, match="does not allow"):
        await source.fetch("leafscan", Origin(f"http://{spelling}:{redirecting.port}/a"))
    assert redirecting.asked == []


async def test_a_redirect_to_another_place_is_told_and_not_followed(source: Source, redirecting: Redirecting) -> None:
    host = f"http://127.0.0.1:{redirecting.port}"
    redirecting.location = f"http://bob:sesame@localhost:{redirecting.port}/b.git/info/refs?service=git-upload-pack"
    with pytest.raises(GitFailed) as failed:
        await source.fetch("leafscan", Origin(f"{host}/a"))
    assert failed.value.detail == (
        f"{host}/a redirects to http://localhost:{redirecting.port}/b.git, which is not followed; "
        "if the repository is there, write that address into the Repository (url)"
    )
    assert {one.partition("/")[0] for one in redirecting.asked} == {"127.0.0.1"}


async def test_a_redirect_to_another_path_of_the_same_place_is_followed(
    source: Source, redirecting: Redirecting
) -> None:
    redirecting.location, redirecting.served = "/a.git/info/refs?service=git-upload-pack", "/a.git/"
    with pytest.raises(GitFailed, match=rf"repository 'http://127.0.0.1:{redirecting.port}/a.git/' not found"):
        await source.fetch("leafscan", Origin(f"http://127.0.0.1:{redirecting.port}/a"))


async def test_redirects_have_an_end(source: Source, redirecting: Redirecting) -> None:
    redirecting.location = "/a.git/info/refs?service=git-upload-pack"
    with pytest.raises(GitFailed, match="redirects more than 3 times"):
        await source.head(Origin(f"http://127.0.0.1:{redirecting.port}/a"))


async def test_ssh_goes_to_the_next_address_of_a_host_that_does_not_answer_at_one(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at the first; at the second somebody answers who is no ssh."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer.get_extra_info("sockname")[0])
        writer.write(b"hello\r\n")
        writer.close()

    async def find(self: Reach, host: str, port: int = 0) -> list[Address]:
        return [ip_address("127.0.0.1"), ip_address("127.0.0.2")]

    monkeypatch.setattr(Reach, "find", find)
    async with await asyncio.start_server(answer, "127.0.0.2", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(GitFailed):
            await source.head(Origin(f"ssh://git@two.example:{port}/a"))
    assert asked == ["127.0.0.2"]


SILENT = "the repository's server has said nothing for 0.5 s and was given up"


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/a", "https://127.0.0.1:{}/a", "ssh://git@127.0.0.1:{}/a"])
async def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path, form: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    source = Source(tmp_path / "registry", Locations(Folders([], []), ["127.0.0.0/8"]), silence=0.5)
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        with pytest.raises(GitFailed) as failed:
            await source.fetch("leafscan", Origin(form.format(server.sockets[0].getsockname()[1])))
        assert failed.value.detail == SILENT


async def test_a_server_that_stops_in_the_middle_is_given_up_and_one_that_tells_its_progress_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git itself is stood for by a program: what counts is what it prints."""
    programs = tmp_path / "bin"
    programs.mkdir()
    git = programs / "git"
    git.write_text(
        '#!/bin/sh\nfor n in 1 2 3 4 5; do sleep 0.5; printf "Receiving objects: $n%%\\r" >&2; done\n$THEN\n'
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert await Git(tmp_path / "home").run("fetch", timeout=60, silence=2) == b""
    git.write_text(git.read_text().replace("$THEN", "sleep 60"))
    with pytest.raises(GitFailed, match="has said nothing for 2 s"):
        await Git(tmp_path / "home").run("fetch", timeout=60, silence=2)


async def test_git_is_stopped_at_its_time_with_all_that_it_started(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 20)
        await reader.read()  # ends when the other side is gone
        stopped.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    with pytest.raises(GitFailed, match=r"git ls-remote took longer than 0\.5 s and was stopped"):
        await Git(tmp_path / "home").run("ls-remote", "--", url, timeout=0.5)
    async with asyncio.timeout(5):
        await stopped.wait()
    server.close()
