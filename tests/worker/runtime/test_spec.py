from __future__ import annotations

from pathlib import Path

import pytest

from services.worker.runtime import spec
from services.worker.runtime.spec import ContainerSite, Mount
from tests.worker.specs import OUTPUT, VALUE, make_instance_spec, make_lease, make_stage_spec

FOLDER = Path("/s/tasks/w/mlmesh-t-3")
INSTANCE = make_instance_spec(
    inference="m:f", loader=None, python="python3.9", port=8002, env={"A": "own"},
    boxes=["weights", "data"], other_boxes=["scans"], concurrency=2, timeout=5.0, warmup=[{"x": 1}],
    resources={"cpu": 0.5, "memory": 100},
    model={"box": "weights", "user": "developer", "group": "m", "file": "model.bin"},
)  # fmt: skip


def make_site(serve: Path | None) -> ContainerSite:
    return ContainerSite(worker="w", installation="x", folder=FOLDER, mesh_url="http://mesh", component_program=serve)


@pytest.mark.parametrize(
    ("name", "expected"), [("data", "UNIP_PIPELINE_DATA"), ("train-set_2", "UNIP_PIPELINE_TRAIN_SET_2")]
)
def test_a_variable_is_an_environment_name(name: str, expected: str) -> None:
    assert spec.variable_env_name(name) == expected


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
    assert spec.env_from_sources(make_stage_spec(secrets=named), secrets) == expected


def test_values_of_config_maps_come_in_the_order_of_env_from() -> None:
    secrets = {"a": {"K": "secret", "A": "a"}}
    values = {"values": {"K": "plain", "V": "v"}}
    stage = make_stage_spec(secrets=["a"], env_from=[{"secret": "a"}, values])
    assert spec.env_from_sources(stage, secrets) == {"K": "plain", "A": "a", "V": "v"}
    stage = make_stage_spec(secrets=["a"], env_from=[values, {"secret": "a"}])
    assert spec.env_from_sources(stage, secrets) == {"K": "secret", "A": "a", "V": "v"}


def test_a_stage_mounts_inputs_read_only_and_outputs_writable() -> None:
    stage = make_stage_spec(
        secrets=["s"],
        env={"UNIP_PIPELINE_IN": "hidden", "K": "own"},
        inputs=[{**VALUE.to_json(), "name": "in"}],
        outputs=[OUTPUT],
    )
    where = {"in": FOLDER / "inputs/in/a", "out": FOLDER / "outputs/out"}
    secrets = {"s": {"K": "secret", "L": "1"}}
    container = spec.build_stage_container(make_lease(stage, token=3), stage, make_site(None), where, secrets)
    assert container.mounts == (
        Mount(where["in"], read_only=True),
        Mount(where["out"], read_only=False),
        Mount(FOLDER / "progress", read_only=False),
    )
    assert container.env == {
        "K": "own", "L": "1", "UNIP_PIPELINE_IN": str(where["in"]), "UNIP_PIPELINE_OUT": str(where["out"]),
        "MLMESH_PROGRESS": str(FOLDER / "progress"), "MLMESH_URL": "http://mesh",
    }  # fmt: skip
    assert (container.name, container.command, container.port) == ("mlmesh-t-3", None, None)


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
    container = spec.build_instance_container(make_lease(INSTANCE), INSTANCE, make_site(serve), None, {})
    env = container.env
    assert (container.command, env["MLMESH_HOST"], env["MLMESH_PORT"]) == (command, host, port)
    assert env.get("MLMESH_PORT_FILE") == port_file


def test_an_instances_environment_is_the_component_programs_contract() -> None:
    instance = INSTANCE.model_copy(update={"secrets": ("s",)})
    container = spec.build_instance_container(
        make_lease(instance), instance, make_site(None), Path("/m/model.bin"), {"s": {"A": "secret"}}
    )
    env = {name: value for name, value in container.env.items() if name not in ("MLMESH_HOST", "MLMESH_PORT")}
    assert env == {
        "A": "own", "MLMESH_INFERENCE": "m:f", "MLMESH_COMPONENT_NAME": "c", "MLMESH_NAMESPACE": "a",
        "MLMESH_INSTANCE_TOKEN": "secret", "MLMESH_CONCURRENCY": "2", "MLMESH_TIMEOUT": "5.0",
        "MLMESH_WARMUP": '[{"x": 1}]', "MLMESH_BOXES": '["weights", "data"]', "MLMESH_URL": "http://mesh",
        "MLMESH_MODEL_PATH": "/m/model.bin", "MLMESH_MODEL_BOX": "weights", "MLMESH_OTHER_BOXES": '["scans"]',
        "MLMESH_SECRET_VARIABLES": '["A"]',
    }  # fmt: skip
    assert (container.cpu, container.memory, container.is_component) == (0.5, 100, True)
    assert container.mounts == (Mount(Path("/m/model.bin"), read_only=True),)


def test_an_instance_is_told_of_its_batches() -> None:
    instance = make_instance_spec(batching={"max_size": 8, "max_delay_ms": 2.5})
    container = spec.build_instance_container(make_lease(instance), instance, make_site(None), None, {})
    assert (container.env["MLMESH_BATCH_SIZE"], container.env["MLMESH_BATCH_DELAY_MS"]) == ("8", "2.5")
