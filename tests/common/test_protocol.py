"""Every message as the release before wrote it: this one reads it, and writes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.protocol.access import AccessFeed
from libs.common.protocol.app_status import AppStatus
from libs.common.protocol.box import BoxDeclaration, BoxList
from libs.common.protocol.build import BuildSpec
from libs.common.protocol.claim import ClaimRequest, ClaimResponse
from libs.common.protocol.credential import SecretsQuery, SecretValues, TokenQuery, TokenStatus
from libs.common.protocol.deployment import DeploymentReport, StartingDeployments
from libs.common.protocol.heartbeat import Heartbeat, HeartbeatResponse
from libs.common.protocol.image import ImageSpec
from libs.common.protocol.image_inventory import ImageInventory, RemovableImages
from libs.common.protocol.instance import InstanceSpec
from libs.common.protocol.load_report import LoadReport
from libs.common.protocol.message import Message
from libs.common.protocol.publication import Moves, PublicationResult
from libs.common.protocol.report import ReportResponse, ReuseQuery, ReuseResponse, TaskReport
from libs.common.protocol.route_table import AppRoutes, RouteTableChange
from libs.common.protocol.stage import StageSpec
from libs.common.protocol.staging import SourcesRequest, SourcesResponse, TargetsRequest, TargetsResponse

GOLDEN = Path(__file__).parent / "protocol" / "golden"
CLASSES: dict[str, type[Message]] = {
    "access_feed": AccessFeed,
    "app_routes": AppRoutes,
    "app_status": AppStatus,
    "box_declaration": BoxDeclaration,
    "box_list": BoxList,
    "claim_request": ClaimRequest,
    "build_spec": BuildSpec,
    "claim_request_engine": ClaimRequest,
    "claim_request_kinds": ClaimRequest,
    "claim_response": ClaimResponse,
    "claim_response_image": ClaimResponse,
    "claim_response_nothing": ClaimResponse,
    "deployment_report_failed": DeploymentReport,
    "deployment_report_live": DeploymentReport,
    "deployment_report_rejected": DeploymentReport,
    "deployment_report_starting": DeploymentReport,
    "heartbeat": Heartbeat,
    "heartbeat_engine": Heartbeat,
    "heartbeat_kinds": Heartbeat,
    "heartbeat_memory": Heartbeat,
    "heartbeat_response": HeartbeatResponse,
    "image_inventory": ImageInventory,
    "image_spec": ImageSpec,
    "instance_spec": InstanceSpec,
    "load_report": LoadReport,
    "publication": Moves,
    "publication_result": PublicationResult,
    "removable_images": RemovableImages,
    "report_build": TaskReport,
    "report_failed": TaskReport,
    "report_image": TaskReport,
    "report_response": ReportResponse,
    "report_succeeded": TaskReport,
    "reuse_query": ReuseQuery,
    "reuse_response": ReuseResponse,
    "route_table_change": RouteTableChange,
    "secret_values": SecretValues,
    "secrets_query": SecretsQuery,
    "sources_request": SourcesRequest,
    "sources_response": SourcesResponse,
    "stage_spec_call": StageSpec,
    "stage_spec_first": StageSpec,
    "stage_spec_later": StageSpec,
    "starting_deployments": StartingDeployments,
    "starting_deployments_promotion": StartingDeployments,
    "starting_deployments_rollback": StartingDeployments,
    "targets_request": TargetsRequest,
    "targets_response": TargetsResponse,
    "token_query": TokenQuery,
    "token_status": TokenStatus,
    "token_status_admin": TokenStatus,
}
NO_LONGER_SENT = {"heartbeat": ("model_etag",)}


def golden(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return loaded


def test_every_golden_message_has_a_class() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_message_is_read_and_written_as_before(name: str) -> None:
    document = golden(name)
    expected = golden(name)
    for status in expected.get("have", []):
        for field in NO_LONGER_SENT.get(name, ()):
            del status[field]
    assert CLASSES[name].model_validate(document).to_json() == expected


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("claim_response", "more", "has_more"),
        ("heartbeat", "have", "tasks"),
        ("heartbeat_response", "gone", "revoked"),
        ("report_succeeded", "content", "cache_key"),
        ("reuse_query", "content", "cache_key"),
    ],
)
def test_a_field_is_read_by_the_name_that_the_next_release_sends(name: str, old: str, new: str) -> None:
    document = golden(name)
    document[new] = document.pop(old)
    assert CLASSES[name].model_validate(document) == CLASSES[name].model_validate(golden(name))
    assert getattr(CLASSES[name].model_validate(document), new) is not None
    assert CLASSES[name].model_validate(document).to_json().keys() == golden(name).keys()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_field_of_a_later_release_is_ignored(name: str) -> None:
    cls = CLASSES[name]
    assert cls.model_validate({**golden(name), "of_a_later_release": 1}) == cls.model_validate(golden(name))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_message_cannot_be_changed(name: str) -> None:
    message = CLASSES[name].model_validate(golden(name))
    field = next(iter(type(message).model_fields))
    with pytest.raises(ValueError, match="frozen"):
        setattr(message, field, None)
