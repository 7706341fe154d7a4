"""Blocks link-local addresses for containers: clouds serve the host's credentials there.

A routing rule on the engine's host covers all networks of apps. A container in the host's network creates it, with that
capability only. It runs a tiny program that sends one message to the kernel, so that no image must be downloaded.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_network

from aiodocker import Docker

from libs.common import log
from libs.common.errors import MeshError
from services.worker.runtime.docker import pause_image
from services.worker.runtime.docker.bundle import make_tar
from services.worker.runtime.docker.client import call_engine, create_container, inspect_network
from services.worker.runtime.docker.engine_api import ContainerConfig
from services.worker.runtime.docker.sandbox_pool import IMAGE, ensure_sandbox_image

DEFAULT_NETWORK = "bridge"
IPV4 = 4
LINK_LOCAL = "169.254.0.0/16"
PROGRAM_NAME = "rule"
PRIORITY = 100
"""After the table of local addresses, before the host's other tables."""
NEW_RULE, DELETE_RULE = 32, 33
REQUEST, ACKNOWLEDGE, EXCLUSIVE, CREATE = 0x1, 0x4, 0x200, 0x400
DESTINATION, SOURCE, RULE_PRIORITY = 1, 2, 6
PROHIBIT = 8
"""The caller gets an error immediately instead of a timeout."""
SUCCESS_ERRORS = (0, errno.EEXIST, errno.ENOENT)
"""The rule was created, existed, or did not exist."""
RUN_TIMEOUT_S = 10.0


async def apply_rules(docker: Docker, subnets: str, *, allowed: bool) -> None:
    """Create the rule for `subnets` and for builds, or delete it if `allowed`. Failures are only logged."""
    for subnet in (*subnets.split(","), *await _list_build_subnets(docker)):
        try:
            code = await _send_message(docker, build_rule_message(subnet.strip(), delete=allowed))
        except MeshError as error:
            _log_failure(error.detail)
            return
        if code not in SUCCESS_ERRORS:
            _log_failure(errno.errorcode.get(code, str(code)))


async def _list_build_subnets(docker: Docker) -> list[str]:
    """Builds run in the engine's default network; the builder can be given no other."""
    try:
        network = await inspect_network(docker, DEFAULT_NETWORK)
    except MeshError as error:
        log.get("worker").info("Engine has no default network; no rule for builds", why=error.detail)
        return []
    subnets = (config.get("Subnet", "") for config in network["IPAM"]["Config"] or ())
    return [subnet for subnet in subnets if subnet and ip_network(subnet).version == IPV4]


def _log_failure(why: str) -> None:
    log.get("worker").warning(
        f"Could not block {LINK_LOCAL} for containers: they may read the host's cloud credentials",
        why=why,
    )


def build_rule_message(subnet: str, *, delete: bool = False) -> bytes:
    """Build the rtnetlink message: reject packets from `subnet` to LINK_LOCAL."""
    source, refused = ip_network(subnet), ip_network(LINK_LOCAL)
    kind, flags = (DELETE_RULE, 0) if delete else (NEW_RULE, CREATE | EXCLUSIVE)
    rule = struct.pack("=8BI", socket.AF_INET, refused.prefixlen, source.prefixlen, 0, 0, 0, 0, PROHIBIT, 0)
    for name, value in (
        (DESTINATION, refused.network_address.packed),
        (SOURCE, source.network_address.packed),
        (RULE_PRIORITY, struct.pack("=I", PRIORITY)),
    ):
        rule += struct.pack("=HH", 4 + len(value), name) + value
    return struct.pack("=IHHII", 16 + len(rule), kind, REQUEST | ACKNOWLEDGE | flags, 1, 0) + rule


def build_program(message: bytes) -> bytes:
    """Build a program that sends the message and exits with the errno of the kernel's response, 0 for none."""
    no_address = bytes.fromhex("4531d2 4531c0 4531c9")  # xor r10d, r10d; xor r8d, r8d; xor r9d, r9d
    open_socket = bytes.fromhex(
        "bf10000000 be03000000 31d2 b829000000 0f05 89c3"
    )  # ebx = socket(AF_NETLINK, SOCK_RAW, 0)
    code = b"\xba" + struct.pack("<I", len(message)) + no_address + bytes.fromhex("89df b82c000000 0f05")  # sendto
    code += bytes.fromhex("4881ec00100000 89df 4889e6 ba00100000") + no_address + bytes.fromhex("b82d000000 0f05")
    code += bytes.fromhex("8b7c2410 f7df b8e7000000 0f05")  # exit_group(-error), which follows the response's header
    return pause_image.build_elf(open_socket + bytes.fromhex("488d35") + struct.pack("<I", len(code)) + code + message)


async def _send_message(docker: Docker, message: bytes) -> int:
    await ensure_sandbox_image(docker)
    container = await create_container(docker, rule_container_config())
    try:
        await call_engine(container.put_archive("/", make_tar({PROGRAM_NAME: build_program(message)}, 0o755)))  # type: ignore[no-untyped-call]
        await call_engine(container.start())
        return int((await call_engine(container.wait(), RUN_TIMEOUT_S))["StatusCode"])
    finally:
        await call_engine(container.delete(force=True))


def rule_container_config() -> ContainerConfig:
    return {
        "Image": IMAGE,
        "Entrypoint": [f"/{PROGRAM_NAME}"],
        "HostConfig": {
            "NetworkMode": "host",
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN"],
            "SecurityOpt": ["no-new-privileges:true"],
            "LogConfig": {"Type": "none"},
        },
    }
