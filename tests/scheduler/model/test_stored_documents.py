"""Documents in JSON columns: the same bytes as the release before stored, which may run beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from services.scheduler.model.run_plan import parse_run_plan
from tests.scheduler.manifests import MANIFESTS
from tests.scheduler.model.documents import (
    DOCUMENTS,
    first_of_chain,
    instances,
    prediction_plan,
    run_with_values,
    second_of_chain,
)
from tests.scheduler.scenarios.test_config_maps import BOTH, manifests

GOLDEN = Path(__file__).parent / "golden"


def to_text(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode() + "\n"


def test_every_stored_document_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(DOCUMENTS)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_stored_as_before(name: str) -> None:
    assert to_text(DOCUMENTS[name]()) == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", [name for name in sorted(DOCUMENTS) if name.startswith("plan_")])
def test_a_plan_of_the_release_before_is_read(name: str) -> None:
    stored = (GOLDEN / f"{name}.json").read_text()
    assert to_text(parse_run_plan(orjson.loads(stored)).to_json()) == stored


def test_a_plan_is_read_as_it_was_written() -> None:
    for plan in (run_with_values().plan, first_of_chain().plan, second_of_chain().plan, prediction_plan()):
        assert parse_run_plan(orjson.loads(to_text(plan.to_json()))) == plan


def test_a_plan_of_version_0_1_is_read() -> None:
    """It has no cache, and its stages have fewer fields."""
    document = orjson.loads((GOLDEN / "plan_values.json").read_text())
    newer = ("cache", "egress", "read_only_root", "image_credentials", "env_from")
    stages = [{name: value for name, value in stage.items() if name not in newer} for stage in document["stages"]]
    plan = parse_run_plan({**{name: document[name] for name in document if name != "cache"}, "stages": stages})
    assert (plan.cache, plan.stages[0].cache, plan.stages[0].egress) == ("off", False, "internet")


def test_a_field_of_a_later_release_is_ignored() -> None:
    document = orjson.loads((GOLDEN / "plan_values.json").read_text())
    later = {**document, "of_a_later_release": 1, "stages": [{**stage, "later": 1} for stage in document["stages"]]}
    assert parse_run_plan(later) == run_with_values().plan


def test_the_fingerprint_of_an_instance_stays() -> None:
    """Another one would replace every instance at the first start of this release."""
    assert instances(MANIFESTS)["digits"].fingerprint == "ee3b629a471fa4b5"
    assert instances(manifests(BOTH))["echo"].fingerprint == "90c717c2a85a2b99"
