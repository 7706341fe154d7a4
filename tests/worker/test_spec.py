from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.worker.lease import Lease
from services.worker.runtime import spec
from services.worker.runtime.spec import Mount, Site

FOLDER = Path("/s/tasks/w/mlmesh-t-3")
INSTANCE: dict[str, Any] = {
    "component": "c", "image": "i", "inference": "m:f", "loader": None, "python": "python3.9", "port": 8002,
    "env": {"A": "own"}, "boxes": ["weights", "data"], "other_boxes": ["scans"],
    "concurrency": 2, "timeout": 5.0, "warmup": [{"x": 1}],
    "resources": {"cpu": 0.5, "memory": 100}, "instance_token": "secret",
    "model": {"box": "weights", "user": "developer", "group": "m", "file": "model.bin"},
}  # fmt: skip


def lease(kind: str, document: dict[str, Any]) -> Lease:
    return Lease(task="t", kind=kind, token=3, attempt=1, app="a", commit="c0", spec=document)


def site(serve: Path | None) -> Site:
    return Site(worker="w", installation="x", folder=FOLDER, mesh_url="http://mesh", serve=serve)


@pytest.mark.parametrize(
    ("name", "expected"), [("data", "UNIP_PIPELINE_DATA"), ("train-set_2", "UNIP_PIPELINE_TRAIN_SET_2")]
)
def test_a_variable_is_an_environment_name(name: str, expected: str) -> None:
    assert spec.variable(name) == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["a", "b"], {"A": "a", "B": "b", "K": "b"}),
        (["b", "a"], {"A": "a", "B": "b", "K": "a"}),
        (["a", "b", "a"], {"A": "a", "B": "b", "K": "a"}),
        ([], {}),
    ],
)
def test_of_a_key_that_several_secrets_have_the_last_in_the_manifest_is_taken(
    named: list[str], expected: dict[str, str]
) -> None:
    secrets = {"b": {"B": "b", "K": "b"}, "a": {"A": "a", "K": "a"}}  # as they came
    assert spec.taken({"secrets": named}, secrets) == expected


def test_values_of_config_maps_come_in_the_order_of_env_from() -> None:
    secrets = {"a": {"K": "secret", "A": "a"}}
    values = {"values": {"K": "plain", "V": "v"}}
    document = {"secrets": ["a"], "env_from": [{"secret": "a"}, values]}
    assert spec.taken(document, secrets) == {"K": "plain", "A": "a", "V": "v"}
    document = {"secrets": ["a"], "env_from": [values, {"secret": "a"}]}
    assert spec.taken(document, secrets) == {"K": "secret", "A": "a", "V": "v"}


def test_a_stage_mounts_inputs_read_only_and_outputs_writable() -> None:
    document = {
        "image": "i", "entry_point": None, "secrets": ["s"], "env": {"UNIP_PIPELINE_IN": "hidden", "K": "own"},
        "inputs": [{"name": "in"}], "outputs": [{"name": "out"}],
    }  # fmt: skip
    where = {"in": FOLDER / "inputs/in/a", "out": FOLDER / "outputs/out"}
    found = spec.of_stage(lease("stage", document), site(None), where, {"s": {"K": "secret", "L": "1"}})
    assert found.mounts == (
        Mount(where["in"], read_only=True),
        Mount(where["out"], read_only=False),
        Mount(FOLDER / "progress", read_only=False),
    )
    assert found.env == {
        "K": "own", "L": "1", "UNIP_PIPELINE_IN": str(where["in"]), "UNIP_PIPELINE_OUT": str(where["out"]),
        "MLMESH_PROGRESS": str(FOLDER / "progress"), "MLMESH_URL": "http://mesh",
    }  # fmt: skip
    assert (found.name, found.command, found.port) == ("mlmesh-t-3", None, None)


@pytest.mark.parametrize(
    ("serve", "command", "host", "port", "port_file"),
    [
        (None, ("python3.9", "/opt/mlmesh/serve.py"), "0.0.0.0", "8002", None),  # noqa: S104
        (Path("/lib/serve.py"), ("python", "/lib/serve.py"), "127.0.0.1", "0", str(FOLDER / "port")),
    ],
    ids=["container", "process"],
)
def test_an_instance_serves_where_its_runtime_finds_it(
    serve: Path | None, command: tuple[str, str], host: str, port: str, port_file: str | None
) -> None:
    found = spec.of_instance(lease("instance", INSTANCE), site(serve), None, {})
    env = found.env
    assert (found.command, env["MLMESH_HOST"], env["MLMESH_PORT"]) == (command, host, port)
    assert env.get("MLMESH_PORT_FILE") == port_file


def test_an_instances_environment_is_the_component_programs_contract() -> None:
    document = {**INSTANCE, "secrets": ["s"]}
    found = spec.of_instance(lease("instance", document), site(None), Path("/m/model.bin"), {"s": {"A": "secret"}})
    given = {name: value for name, value in found.env.items() if name not in ("MLMESH_HOST", "MLMESH_PORT")}
    assert given == {
        "A": "own", "MLMESH_INFERENCE": "m:f", "MLMESH_COMPONENT_NAME": "c", "MLMESH_NAMESPACE": "a",
        "MLMESH_INSTANCE_TOKEN": "secret", "MLMESH_CONCURRENCY": "2", "MLMESH_TIMEOUT": "5.0",
        "MLMESH_WARMUP": '[{"x": 1}]', "MLMESH_BOXES": '["weights", "data"]', "MLMESH_URL": "http://mesh",
        "MLMESH_MODEL_PATH": "/m/model.bin", "MLMESH_MODEL_BOX": "weights", "MLMESH_OTHER_BOXES": '["scans"]',
    }  # fmt: skip
    assert (found.cpu, found.memory, found.serves) == (0.5, 100, True)
    assert found.mounts == (Mount(Path("/m/model.bin"), read_only=True),)


def test_an_instance_is_told_of_its_batches() -> None:
    batching = {"max_size": 8, "max_delay_ms": 2.5}
    found = spec.of_instance(lease("instance", {**INSTANCE, "batching": batching}), site(None), None, {})
    assert (found.env["MLMESH_BATCH_SIZE"], found.env["MLMESH_BATCH_DELAY_MS"]) == ("8", "2.5")
