"""What clones and fetches of a built-in repository get: Git's own `upload-pack`, and the refs of both services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from services.registry.git.client import GitClient
from services.registry.git.hosted_repositories import HostedRepositories
from services.registry.git.process_io import CHUNK_BYTES, ProcessPipes, get_pipes
from services.registry.hosting.packet_lines import encode_service_header

REFS_TIMEOUT_S = 60.0
FETCH_TIMEOUT_S = 3600.0
HIDDEN = ("-c", "transfer.hideRefs=refs/mlmesh", "-c", "uploadpack.allowFilter=true")


@dataclass(frozen=True)
class UploadPack:
    git: GitClient
    hosted: HostedRepositories

    async def list_refs(self, app: str, service: str, protocol: str) -> bytes:
        """The answer to `info/refs`; `service` is git-upload-pack or git-receive-pack."""
        command = service.removeprefix("git-")
        refs = await self.git.run(
            *HIDDEN, command, "--stateless-rpc", "--advertise-refs", ".",
            folder=self.hosted.get_folder(app), environment={"GIT_PROTOCOL": protocol}, timeout=REFS_TIMEOUT_S,
        )  # fmt: skip
        return refs if "version=2" in protocol and command == "upload-pack" else encode_service_header(service) + refs

    async def send_pack(self, app: str, body: AsyncIterator[bytes], protocol: str) -> AsyncIterator[bytes]:
        """The answer to `git-upload-pack`: what the client lacks, as a pack."""
        environment = {"GIT_PROTOCOL": protocol}
        async with asyncio.timeout(FETCH_TIMEOUT_S), self.git.start(
            *HIDDEN, "upload-pack", "--stateless-rpc", "--strict", ".",
            folder=self.hosted.get_folder(app), environment=environment,
        ) as process:  # fmt: skip
            pipes = get_pipes(process)
            feeder = asyncio.create_task(_send_body(pipes, body))
            try:
                while chunk := await pipes.stdout.read(CHUNK_BYTES):
                    yield chunk
            finally:
                feeder.cancel()
                await asyncio.gather(feeder, return_exceptions=True)


async def _send_body(pipes: ProcessPipes, body: AsyncIterator[bytes]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        async for chunk in body:
            pipes.stdin.write(chunk)
            await pipes.stdin.drain()
        pipes.stdin.close()
