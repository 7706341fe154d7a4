"""Transfer errors do not reveal signed links."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from libs.common.errors import MeshError
from libs.common.http.client import open_service_clients
from libs.common.http.server import bind
from services.worker.failures import TaskFailed
from services.worker.files import stage_out, transfer
from services.worker.files.file_cache import FileCache
from services.worker.files.stage_out import Output
from services.worker.permissions import grant_owner_access
from tests.worker.fake_mesh import FakeMesh
from tests.worker.specs import OUTPUT

SECRET = "eb62f9d6"
REFUSAL = f"<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message><Provided>{SECRET}</Provided></Error>"
ANSWERS = {
    "ends": b"",
    "no HTTP": b"hello\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "refused": f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(REFUSAL)}\r\n\r\n{REFUSAL}".encode(),
    "a link": f"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nhttp://minio/x?X-Amz-Signature={SECRET}".encode(),
}


CASES = [(way, answer) for way in ("download", "upload") for answer in (None, *ANSWERS)]
CASES.remove(("upload", "half"))  # the head of a response is enough


@pytest.mark.parametrize(("way", "answer"), CASES)
async def test_no_failure_tells_the_link(way: str, answer: str | None, tmp_path: Path) -> None:
    """None: nothing listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS[str(answer)])
        writer.close()

    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}/b/x?X-Amz-Credential=me&X-Amz-Signature={SECRET}"
    source = tmp_path / "x"
    source.write_bytes(bytes(5_000_000))
    server = await asyncio.start_server(serve, sock=bound) if answer else None
    async with aiohttp.ClientSession() as session:
        moved: Awaitable[object] = (
            transfer.download(session, url, tmp_path / "got", tmp_path)
            if way == "download"
            else transfer.upload(session, source, 5_000_000, url)
        )
        with pytest.raises(MeshError) as raised:
            await moved
    assert SECRET not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    if server:
        server.close()
    bound.close()


async def test_an_output_that_cannot_be_read_is_named(mesh: FakeMesh, tmp_path: Path) -> None:
    lost = Output("out", OUTPUT.target, "sub/x", tmp_path / "gone", 3)
    async with open_service_clients(mesh.make_settings(tmp_path)) as peers:
        with pytest.raises(TaskFailed) as raised:
            await stage_out.upload_outputs("a", {"out": [lost]}, peers, FileCache(tmp_path / "cache", hard_links=False))
    assert raised.value.reason == {
        "code": "output",
        "detail": "output out: sub/x cannot be read: No such file or directory",
    }


def test_what_a_stage_closed_is_opened_collected_and_removed() -> None:
    def close(folder: Path) -> None:
        (folder / "outputs/out/d").mkdir(parents=True)
        for name, mode in (("x", 0o000), ("d/y", 0o000), ("d", 0o100)):
            path = folder / "outputs/out" / name
            if not path.exists():
                path.write_text(name)
            path.chmod(mode)
        grant_owner_access(folder / "outputs")
        files = {output.name for output in stage_out.collect_outputs([OUTPUT], folder)["out"]}
        assert files == {"x", "d/y"}
        (folder / "outputs").chmod(0o000)
        stage_out.remove_tree(folder)
        assert not folder.exists()

    as_somebody(close)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_link_to_a_file_of_the_same_output_is_that_file_once_more(tmp_path: Path, absolute: bool) -> None:
    """Trainers link `last.ckpt` to a checkpoint."""
    out = tmp_path / "outputs/out"
    (out / "d").mkdir(parents=True)
    (out / "d/epoch=3.ckpt").write_text("weights")
    (out / "last.ckpt").symlink_to(out / "d/epoch=3.ckpt" if absolute else "d/epoch=3.ckpt")
    (out / "d/best").symlink_to("../last.ckpt")
    files = {
        output.name: (output.path.read_text(), output.size)
        for output in stage_out.collect_outputs([OUTPUT], tmp_path)["out"]
    }
    assert files == dict.fromkeys(("last.ckpt", "d/best", "d/epoch=3.ckpt"), ("weights", 7))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "../other/x", "gone", "l", "d", ".", "../../pipe"])
def test_any_other_link_in_an_output_is_refused(tmp_path: Path, target: str) -> None:
    out = tmp_path / "outputs/out"
    (out / "d").mkdir(parents=True)
    (out.parent / "other").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (out / "x").write_text("x")
    (out.parent / "other/x").write_text("x")
    (tmp_path / "secret").write_text("x")
    (out / "l").symlink_to(target)
    with pytest.raises(TaskFailed) as raised:
        stage_out.collect_outputs([OUTPUT], tmp_path)
    assert raised.value.reason["detail"] == (
        "output out: l is a symbolic link to something outside this output, not a regular file; copy the target"
    )


def test_what_another_user_closed_is_named_without_the_hosts_folders() -> None:
    def collect(folder: Path) -> None:
        with pytest.raises(TaskFailed) as raised:
            stage_out.collect_outputs([OUTPUT], folder)
        assert raised.value.reason["detail"] == "output out: d cannot be read: Permission denied"

    def prepare(folder: Path) -> None:
        (folder / "outputs/out/d").mkdir(parents=True)
        (folder / "outputs/out/d").chmod(0o700)

    as_somebody(collect, prepare)


def as_somebody(work: Callable[[Path], None], prepare: Callable[[Path], None] = lambda _: None) -> None:
    """Run `work` on a folder in a child process, as a user who is not root."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "t1")
        folder.mkdir()
        for place in (Path(parent), folder):
            place.chmod(0o777)
        prepare(folder)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setgid(10001)
                    os.setuid(10001)
                work(folder)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
