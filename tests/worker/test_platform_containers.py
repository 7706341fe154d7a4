"""Whose gateway it is, when several installations share an engine."""

import pytest

from services.worker.runtime.docker.platform_containers import Member, ours

OURS, OTHER = "0123456789ab", "ba9876543210"
PUBLIC = "http://127.0.0.1:8000"


def member(*networks: str, port: int = 8000, installation: str = "") -> Member:
    labels = {"mlmesh.installation": installation} if installation else {}
    return Member("id", labels, frozenset(networks), frozenset({port}))


@pytest.mark.parametrize(
    ("gateway", "worker", "expected"),
    [
        (member("mlmesh_default"), member("mlmesh_default"), True),
        (member("mlmesh-lab_default"), member("mlmesh-lab_default"), True),
        (member("lab_default"), member("mlmesh_default"), False),
        (member("lab_default", f"zz-mlmesh-{OURS}-a-1"), member("mlmesh_default", f"zz-mlmesh-{OURS}-a-1"), False),
        (member("x", installation=OURS), member("y"), True),
        (member("mlmesh_default", installation=OTHER), member("mlmesh_default"), False),
        (member("x"), None, True),
        (member("x", port=9000), None, False),
    ],
)
def test_a_gateway_is_ours_by_label_by_network_or_by_port(
    gateway: Member, worker: Member | None, expected: bool
) -> None:
    assert ours(gateway, worker, OURS, PUBLIC) is expected
