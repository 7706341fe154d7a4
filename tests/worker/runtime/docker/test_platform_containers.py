"""Several installations share an engine: which one a gateway belongs to."""

import pytest

from services.worker.runtime.docker.platform_containers import PlatformContainer, is_same_installation

OURS, OTHER = "0123456789ab", "ba9876543210"
PUBLIC = "http://127.0.0.1:8000"


def make_container(*networks: str, port: int = 8000, installation: str = "") -> PlatformContainer:
    labels = {"mlmesh.installation": installation} if installation else {}
    return PlatformContainer("id", labels, frozenset(networks), frozenset({port}))


@pytest.mark.parametrize(
    ("gateway", "worker", "expected"),
    [
        (make_container("mlmesh_default"), make_container("mlmesh_default"), True),
        (make_container("mlmesh-lab_default"), make_container("mlmesh-lab_default"), True),
        (make_container("lab_default"), make_container("mlmesh_default"), False),
        (
            make_container("lab_default", f"zz-mlmesh-{OURS}-a-1"),
            make_container("mlmesh_default", f"zz-mlmesh-{OURS}-a-1"),
            False,
        ),
        (make_container("x", installation=OURS), make_container("y"), True),
        (make_container("mlmesh_default", installation=OTHER), make_container("mlmesh_default"), False),
        (make_container("x"), None, True),
        (make_container("x", port=9000), None, False),
    ],
)
def test_a_gateway_is_ours_by_label_by_network_or_by_port(
    gateway: PlatformContainer, worker: PlatformContainer | None, expected: bool
) -> None:
    assert is_same_installation(gateway, worker, OURS, PUBLIC) is expected
