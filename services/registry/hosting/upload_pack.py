"""What clones and fetches of a built-in repository get: Git's own `upload-pack`, and the refs of both services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from libs.common.errors import MeshError
from libs.common.process_group import kill_process_group
from services.registry.git.client import GitClient, config_options
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.process import GitProcess
from services.registry.git.process_io import CHUNK_BYTES
from services.registry.hosting.client_stream import ClientStream, feed
from services.registry.hosting.packet_lines import encode_service_header
from services.registry.hosting.slots import Slots

REFS_TIMEOUT_S = 60.0
FETCH_TIMEOUT_S = 900.0
MAX_FETCHES = 64
MAX_FETCHES_PER_APP = 16
CONFIGURATION = (
    "transfer.hideRefs=refs/mlmesh", "uploadpack.allowAnySHA1InWant=false", "uploadpack.allowFilter=true",
    "uploadpackfilter.allow=false", "uploadpackfilter.blob:none.allow=true", "uploadpackfilter.blob:limit.allow=true",
    "uploadpackfilter.tree.allow=true", "uploadpackfilter.tree.maxDepth=0",
)  # fmt: skip
"""Filters that cost little: a sparse one walks every tree again for each commit."""
OPTIONS = config_options(CONFIGURATION)


@dataclass(frozen=True)
class UploadPack:
    git: GitClient
    hosted: HostedRepositories
    slots: Slots = field(default_factory=lambda: Slots("fetches", MAX_FETCHES, MAX_FETCHES_PER_APP))

    async def list_refs(self, app: str, service: str, protocol: str) -> bytes:
        """The answer to `info/refs`; `service` is git-upload-pack or git-receive-pack."""
        command = service.removeprefix("git-")
        refs = await self.git.run(
            *OPTIONS, command, "--stateless-rpc", "--advertise-refs", ".",
            folder=self.hosted.get_folder(app), environment={"GIT_PROTOCOL": protocol}, timeout=REFS_TIMEOUT_S,
        )  # fmt: skip
        return refs if "version=2" in protocol and command == "upload-pack" else encode_service_header(service) + refs

    async def send_pack(self, app: str, client: ClientStream) -> AsyncIterator[bytes]:
        """The answer to `git-upload-pack`: what the client lacks, as a pack. It ends when the client leaves."""
        with self.slots.hold(app):
            async with asyncio.timeout(FETCH_TIMEOUT_S), self.git.start(
                *OPTIONS, "upload-pack", "--stateless-rpc", "--strict", ".",
                folder=self.hosted.get_folder(app), environment={"GIT_PROTOCOL": client.protocol},
            ) as process:  # fmt: skip
                serving = asyncio.create_task(_serve_client(process, client))
                try:
                    while chunk := await process.stdout.read(CHUNK_BYTES):
                        yield chunk
                finally:
                    serving.cancel()
                    await asyncio.gather(serving, return_exceptions=True)


async def _serve_client(process: GitProcess, client: ClientStream) -> None:
    """Feed Git, and end it when the client leaves: it may compute for minutes without a write that would fail."""
    with suppress(MeshError):  # a body that is not gzip; Git has ended
        await feed(process, client.body)
        await client.wait_for_disconnect()
        kill_process_group(process)
