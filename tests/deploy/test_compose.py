"""docker-compose.yml, really brought up."""

from tests.deploy.mesh import SERVICES, Mesh


def test_every_service_of_the_compose_file_becomes_healthy(compose: Mesh) -> None:
    states = {name: box["State"] for name, box in compose.containers().items()}
    assert {name: state["Health"]["Status"] for name, state in states.items() if "Health" in state} == dict.fromkeys(
        (*SERVICES, "postgres", "rabbitmq", "minio"), "healthy"
    )
    assert {name: state["ExitCode"] for name, state in states.items() if "Health" not in state} == {
        "migrate": 0,
        "scratch": 0,
    }


def test_only_the_gateway_has_a_published_port(compose: Mesh) -> None:
    published = {
        name: port
        for name, box in compose.containers().items()
        for port, bindings in (box["NetworkSettings"]["Ports"] or {}).items()
        if bindings
    }
    assert published == {"gateway": "8000/tcp"}


def test_no_service_runs_as_root_or_keeps_capabilities(compose: Mesh) -> None:
    containers = compose.containers()
    for name in SERVICES:
        assert containers[name]["Config"]["User"] == "mlmesh", name
        assert containers[name]["HostConfig"]["CapDrop"] == ["ALL"], name


def test_the_gateway_of_the_compose_mesh_is_ready_and_protected(compose: Mesh) -> None:
    assert compose.status("/readyz") == 200
    assert compose.status("/api/v1/apps", compose.admin_token) == 200
    assert compose.status("/api/v1/apps", "wrong") == 401
    assert compose.status("/internal/table") == 404
