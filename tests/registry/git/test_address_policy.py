"""Which addresses the policy allows, and how Git is pinned to them."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from libs.common.http.addresses import Address
from services.registry.git.address_policy import (
    FOLDER_NOT_ALLOWED,
    AddressNotAllowed,
    AddressPolicy,
    GitTarget,
    pin_addresses,
)
from services.registry.git.allowed_folders import AllowedFolders
from services.registry.git.error_messages import GitFailed
from services.registry.git.repository_url import parse_repository_url
from tests.registry.working_copy import WorkingCopy

DEADLINE_S = 10.0
PRIVATE = ("10.0.0.0/8", "fc00::/7")


@pytest.fixture
def address_policy(tmp_path: Path) -> AddressPolicy:
    return AddressPolicy(AllowedFolders([str(tmp_path / "allowed")], []), PRIVATE)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "0.0.0.1", "169.254.169.254", "[fe80::1]", "127。0。0。1",
        "\U0001fbf1\U0001fbf2\U0001fbf7.0.0.1",
        "192.168.0.1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["http://{}/a", "https://{}:8443/a", "ssh://git@{}/a"])
async def test_no_spelling_leads_to_a_network_that_is_not_allowed(
    address_policy: AddressPolicy, host: str, form: str
) -> None:
    with pytest.raises(
        AddressNotAllowed, match=r"a network that the operator does not allow \(MLMESH_REPOSITORY_NETWORKS\)"
    ):
        await address_policy.resolve(form.format(host), DEADLINE_S)


async def test_every_file_that_is_refused_has_the_same_sentence(address_policy: AddressPolicy, tmp_path: Path) -> None:
    outside = WorkingCopy(tmp_path / "outside")
    (tmp_path / "allowed/empty").mkdir(parents=True)
    for path in (outside.folder, "/nowhere", tmp_path / "allowed/empty", tmp_path / "allowed/nowhere"):
        assert await address_policy.explain_refusal(f"file://{path}", DEADLINE_S) == FOLDER_NOT_ALLOWED


async def test_a_file_is_read_at_the_place_that_was_judged(address_policy: AddressPolicy, tmp_path: Path) -> None:
    work = WorkingCopy(tmp_path / "allowed/a b")
    (tmp_path / "allowed/link").symlink_to(work.folder)
    expected = GitTarget(f"file://{tmp_path}/allowed/a%20b/.git", ("--upload-pack=git-upload-pack --strict",))
    assert await address_policy.resolve(f"file://{tmp_path}/allowed/link", DEADLINE_S) == expected


async def test_a_name_without_an_address_may_be_asked_later(
    address_policy: AddressPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await address_policy.explain_refusal("https://no-such-host.invalid/a", DEADLINE_S) is None
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    with pytest.raises(GitFailed, match="could not resolve host"):
        await address_policy.resolve("https://no-such-host.invalid/a", DEADLINE_S)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert await address_policy.resolve("https://no-such-host.invalid/a", DEADLINE_S) == GitTarget(
        "https://no-such-host.invalid/a", environment={"no_proxy": "", "NO_PROXY": ""}
    )


async def test_git_is_held_to_the_address_that_was_judged() -> None:
    addresses: list[Address] = [IPv4Address("10.0.0.7"), IPv6Address("fc00::7")]
    key = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.curloptResolve"}
    name = "https://h.org/a"
    assert pin_addresses(parse_repository_url(name), addresses) == GitTarget(
        name, environment={**key, "GIT_CONFIG_VALUE_0": "h.org:443:10.0.0.7,[fc00::7]"}
    )
    assert pin_addresses(parse_repository_url("http://167772167:81/a"), addresses) == GitTarget("http://10.0.0.7:81/a")
    options = ("HostName=10.0.0.7", "HostKeyAlias=h.org", "CheckHostIP=no")
    ssh = pin_addresses(parse_repository_url("git@h.org:a"), addresses)
    assert (ssh.url, ssh.ssh_options) == ("git@h.org:a", options)
    assert ssh.fallback == GitTarget("git@h.org:a", ssh_options=("HostName=fc00::7", *options[1:]))
    ported = pin_addresses(parse_repository_url("ssh://git@h.org:2222/a"), addresses)
    assert ported.ssh_options[1] == "HostKeyAlias=[h.org]:2222"
