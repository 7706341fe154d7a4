"""What an instance is told of its app, and what makes it another one."""

from __future__ import annotations

from services.scheduler.components.desired_instances import DesiredInstance, desired_instances
from tests.scheduler.manifests import MANIFESTS, catalog

SCANS = b"---\napiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: scans}\nspec: {s3DefaultStorage: {}}\n"


def list_instances(manifests: bytes) -> dict[str, DesiredInstance]:
    return {instance.name: instance for instance in desired_instances(catalog(manifests), "c1", {}, {})}


def test_an_instance_knows_the_boxes_that_are_not_connected_to_it() -> None:
    found = list_instances(MANIFESTS + SCANS)
    assert {name: (one.spec.boxes, one.spec.other_boxes) for name, one in found.items()} == {
        "digits": (("data",), ("scans",)),
        "echo": ((), ("data", "scans")),
    }


def test_boxes_that_it_cannot_reach_make_it_no_other_instance() -> None:
    few, many = list_instances(MANIFESTS), list_instances(MANIFESTS + SCANS)
    assert {name: one.key for name, one in few.items()} == {name: one.key for name, one in many.items()}
