"""Receives a push: Git stores it, and the client then sees in the same answer what the deployment does.

Git's answer ends with a flush packet. It is held back while progress lines are sent, so no post-receive hook is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from libs.common import log
from libs.common.db import Database, database_time
from libs.common.errors import MeshError, Unavailable, find_first_error
from services.registry.apps import Repository
from services.registry.db import apps, deployments
from services.registry.deployments.state import Deployment, DeploymentTrigger
from services.registry.git.client import GitClient, config_options
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.process import GitProcess
from services.registry.git.process_io import CHUNK_BYTES, read_stderr
from services.registry.git.tags import TAG_PREFIX, find_newest_tag
from services.registry.hosting.client_stream import ClientStream, feed, refuse_push
from services.registry.hosting.packet_lines import (
    FLUSH,
    KEEP_ALIVE,
    SIDE_BAND,
    CommandLimit,
    encode_failure,
    encode_progress,
)
from services.registry.hosting.progress_lines import follow_deployment
from services.registry.hosting.push_check import PushChecker, list_deleted_tags
from services.registry.hosting.push_hook import SOCKET_VARIABLE, PushVerdict, RefUpdate, answer_hook
from services.registry.hosting.slots import Slots

MAX_UPDATES = 10_000
"""Branches and tags that one push moves."""
MAX_PUSHES = 64
MAX_PUSHES_PER_APP = 4
MAX_COMMAND_BYTES = 4 * 2**20
"""What a push says of the refs that it moves."""
MAX_PUSH_BYTES = 256 * 2**20
MAX_PREFIX_BYTES = 64 * 1024
"""Where the capabilities of the client are looked for: they follow its first ref."""
PUSH_TIMEOUT_S = 900.0
"""Until Git has stored it."""
CONFIGURATION = (
    "receive.fsckObjects=true", "receive.fsck.zeroPaddedFilemode=ignore", "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.badTimezone=ignore", f"receive.maxInputSize={MAX_PUSH_BYTES}", "receive.autogc=false",
    "receive.denyDeleteCurrent=refuse", "transfer.hideRefs=refs/mlmesh", "receive.unpackLimit=1",
    "core.bigFileThreshold=16m",
)  # fmt: skip
"""What other hosts accept of old histories is accepted here, too. The last two keep large files out of memory."""


@dataclass
class Push:
    """One push while it is received. `output` ends with None."""

    app: str
    caused_by: str
    updates: Sequence[RefUpdate] = ()
    """What the hook accepted; Git may still refuse one of them."""
    prefix: bytes = b""
    commands: CommandLimit = field(default_factory=lambda: CommandLimit(MAX_UPDATES, MAX_COMMAND_BYTES))
    output: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    @property
    def shows_progress(self) -> bool:
        return SIDE_BAND in self.prefix

    def send_lines(self, text: str) -> None:
        if self.shows_progress:
            for line in text.splitlines():
                self.output.put_nowait(encode_progress(line))

    def send_failure(self, text: str) -> None:
        if self.shows_progress:
            self.output.put_nowait(encode_failure(text))


class PushReceiver:
    def __init__(
        self,
        database: Database,
        git: GitClient,
        hosted: HostedRepositories,
        checker: PushChecker,
        hooks: Path,
        public_url: str,
        group: asyncio.TaskGroup,
        wake_worker: Callable[[], None],
    ) -> None:
        """`hooks` holds the pre-receive hook. Pushes are tasks of `group`: a client that leaves does not end them."""
        self._database, self._git, self._hosted, self._checker = database, git, hosted, checker
        self._options = config_options((f"core.hooksPath={hooks}", *CONFIGURATION))
        self._public_url, self._group, self._wake_worker = public_url, group, wake_worker
        self.slots = Slots("pushes", MAX_PUSHES, MAX_PUSHES_PER_APP)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the answers of pushes that are stored; their deployments go on."""
        self._stopping.set()

    async def receive(self, app: str, client: ClientStream, caused_by: str) -> AsyncIterator[bytes]:
        """The answer to `git-receive-pack`; `caused_by`: who pushes."""
        try:
            self.slots.check_free(app)
        except Unavailable as error:
            return refuse_push(client, error.detail)
        push = Push(app, caused_by)
        self._group.create_task(self._run(push, client), name=f"push to {app}")
        return _read_output(push)

    async def _run(self, push: Push, client: ClientStream) -> None:
        try:
            with self.slots.hold(push.app):
                tail = await self._receive(push, client)
            await self._deploy(push, client)
            push.output.put_nowait(tail)
        except Exception as error:  # noqa: BLE001  the client has left, or Git failed; one push must not end the service
            why = getattr(find_first_error(error), "detail", "") or repr(error)
            log.get("registry").warning("Push not received", app=push.app, why=why)
            push.send_failure(why)
        finally:
            push.output.put_nowait(None)
            if not self.slots.is_held(push.app):
                await self._hosted.remove_leftovers(push.app)

    async def _receive(self, push: Push, client: ClientStream) -> bytes:
        """Let Git store the push; returns the end of its answer, which is to be sent last."""

        async def check(updates: Sequence[RefUpdate], environment: Mapping[str, str]) -> PushVerdict:
            verdict = await self._checker.check(push.app, updates, environment)
            push.updates = updates if verdict.accepted else ()
            return verdict

        async with asyncio.timeout(PUSH_TIMEOUT_S), answer_hook(check) as descriptor:
            environment = {SOCKET_VARIABLE: str(descriptor), "GIT_PROTOCOL": client.protocol}
            async with self._git.start(
                *self._options, "receive-pack", "--stateless-rpc", ".",
                folder=self._hosted.get_folder(push.app), environment=environment, pass_fds=(descriptor,),
            ) as process:  # fmt: skip
                return await _exchange(push, process, client.body)

    async def _deploy(self, push: Push, client: ClientStream) -> None:
        """Deploy what was pushed to the followed branch, and tell the client how that goes, as long as it listens."""
        try:
            deployment = await self._add_deployment(push)
        except MeshError as error:
            push.send_lines(f"the push is stored; it is deployed as soon as possible, not now: {error.detail}")
            return
        if deployment is not None:
            follower = asyncio.ensure_future(self._follow(push, deployment))
            ends = (
                follower, asyncio.ensure_future(client.wait_for_disconnect()),
                asyncio.ensure_future(self._stopping.wait()),
            )  # fmt: skip
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)

    async def _add_deployment(self, push: Push) -> Deployment | None:
        """None unless Git has moved the followed branch or tag: of two pushes at once one loses, after the hook."""
        async with self._database.read() as conn:
            repository = await apps.get_repository(conn, push.app)
        if repository is None or repository.url is not None:
            return None
        commit = await self._find_new_head(repository, push.updates)
        if commit is None:
            return None
        async with self._database.write() as conn:
            now = await database_time(conn)
            deployment = await deployments.add(conn, push.app, DeploymentTrigger.PUSH, now, push.caused_by)
        log.get("registry").info("Push received", app=push.app, commit=commit, deployment=deployment.id)
        self._wake_worker()
        return deployment

    async def _find_new_head(self, repository: Repository, updates: Sequence[RefUpdate]) -> str | None:
        """What the followed ref names, when these updates changed that; also the tag before a deleted one."""
        app = repository.app
        ref = await self._hosted.find_followed_ref(app, repository.branch, repository.tags)
        if ref is None:
            return None
        commit = await self._hosted.read_ref(app, ref)
        if (pushed := next((update for update in updates if update.ref == ref), None)) is not None:
            return commit if commit == pushed.new else None
        if repository.tags is None:
            return None
        deleted = list_deleted_tags(updates)
        newest_before = find_newest_tag(repository.tags, {ref.removeprefix(TAG_PREFIX), *deleted})
        return commit if newest_before in deleted else None

    async def _follow(self, push: Push, deployment: Deployment) -> None:
        async for line in follow_deployment(self._database, deployment, self._public_url):
            if line is not None:
                push.send_lines(line)
            elif push.shows_progress:
                push.output.put_nowait(KEEP_ALIVE)


async def _read_output(push: Push) -> AsyncIterator[bytes]:
    while (chunk := await push.output.get()) is not None:
        yield chunk


async def _exchange(push: Push, process: GitProcess, body: AsyncIterator[bytes]) -> bytes:
    async with asyncio.TaskGroup() as group:
        group.create_task(feed(process, _watch_body(push, body)))
        errors = group.create_task(read_stderr(process))
        tail = await _pass_output(push, process)
        await process.wait()
    if process.returncode != 0 and errors.result():
        push.send_lines(errors.result().decode(errors="replace").strip().splitlines()[-1])
    return tail


async def _watch_body(push: Push, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body, while its commands are counted and its capabilities kept. Raises Malformed."""
    async for chunk in body:
        push.commands.check(chunk)
        if len(push.prefix) < MAX_PREFIX_BYTES:
            push.prefix += chunk
        yield chunk


async def _pass_output(push: Push, process: GitProcess) -> bytes:
    """Pass Git's answer on as it comes, and return its flush packet."""
    held = b""
    while chunk := await process.stdout.read(CHUNK_BYTES):
        held += chunk
        if len(held) > len(FLUSH):
            push.output.put_nowait(held[: -len(FLUSH)])
            held = held[-len(FLUSH) :]
    return held
