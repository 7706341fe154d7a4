"""Values of Secrets that come from the registry's host: read, copied when they change, and nowhere else from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.registry.secrets.sources import read_source
from tests.registry.conftest import StartRegistry, poll_until
from tests.registry.working_copy import PROTECTED_API, WorkingCopy

SECRETS = "/api/v1/apps/leafscan/secrets"
VALUES = "/internal/apps/leafscan/secrets/values"


def test_a_file_is_a_value_without_the_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "A").write_text("one\ntwo\n")
    assert read_source(f"file:{tmp_path}", ["A"], {}).values == {"A": "one\ntwo"}


def test_a_variable_is_the_prefix_and_the_key() -> None:
    found = read_source("env:LEAF_", ["A", "B"], {"LEAF_A": "1", "B": "2"})
    assert (found.values, found.problems) == ({"A": "1"}, ("the registry has no environment variable LEAF_B",))


def test_the_settings_of_the_mesh_are_no_values() -> None:
    found = read_source("env:M", ["LMESH_SECRET_KEY"], {"MLMESH_SECRET_KEY": "1"})
    assert (found.values, found.problems) == ({}, ("MLMESH_SECRET_KEY is a setting of the mesh, and never a value",))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no file {}/A"),
        (b"\xff", "{}/A is not UTF-8"),
        (b"a" * (64 * 1024 + 1), "{}/A is longer than 65536 bytes"),
    ],
)
def test_what_is_no_value_is_a_sentence(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "A").write_bytes(content)
    found = read_source(f"file:{tmp_path}", ["A"], {})
    assert (found.values, found.problems) == ({}, (problem.format(tmp_path),))


def test_a_key_that_leads_out_of_the_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    assert read_source(f"file:{tmp_path / 'secrets'}", [".."], {}).values == {}


def is_at_secrets(deployment: dict[str, Any]) -> bool:
    return "secrets" in [step["name"] for step in deployment["steps"]]


async def test_a_deployment_waits_for_the_file_and_a_changed_file_is_a_new_version(
    start_registry: StartRegistry, sqlite_url: str, working_copy: WorkingCopy, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    sources = {"leafscan/api-users": f"file:{folder}"}
    working_copy.commit({"manifests/api.yml": PROTECTED_API})
    async with start_registry(sqlite_url, secret_sources=sources) as registry:
        await registry.apply(working_copy)
        deployment = await poll_until(registry.get_newest, is_at_secrets)
        assert deployment["steps"][-1]["detail"] == (
            'secret "api-users" (APIComponent digits-api) has no value for alice;'
            f" the mesh reads it from file:{folder} on its host"
        )
        (folder / "alice").write_text("sesame\n")
        await registry.wait_for_status("starting")
        feed = (await registry.get("/internal/access"))["apps"]["leafscan"]
        assert (sorted(feed["users"]["api-users"]), feed["secrets"]) == (["alice"], {"api-users": 1})
        (folder / "alice").write_text("another\n")
        await poll_until(lambda: registry.get(SECRETS), lambda it: it["items"][0]["version"] == 2)
        (folder / "alice").unlink()
        assert (await registry.call("POST", VALUES, {"names": ["api-users"]})).body["secrets"] == {
            "api-users": {"alice": "another"}
        }
        for method, path, body in (
            ("PUT", SECRETS + "/api-users", {"data": {"alice": "x"}}),
            ("DELETE", SECRETS + "/api-users", None),
            ("DELETE", SECRETS + "/api-users/alice", None),
        ):
            answer = await registry.call(method, path, body)
            assert (answer.status, answer.body["detail"]) == (
                409,
                f'the values of secret "api-users" come from file:{folder} on the host of the mesh; change them there',
            )
