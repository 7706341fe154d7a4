"""Documents in JSON columns: the same bytes as the release before stored, which may run beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.scheduler.manifests import MANIFESTS
from tests.scheduler.model.documents import DOCUMENTS, instances
from tests.scheduler.test_config_maps import BOTH, manifests

GOLDEN = Path(__file__).parent / "golden"


def to_text(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode() + "\n"


def test_every_stored_document_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(DOCUMENTS)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_stored_as_before(name: str) -> None:
    assert to_text(DOCUMENTS[name]()) == (GOLDEN / f"{name}.json").read_text()


def test_the_fingerprint_of_an_instance_stays() -> None:
    """Another one would replace every instance at the first start of this release."""
    assert instances(MANIFESTS)["digits"].fingerprint == "ee3b629a471fa4b5"
    assert instances(manifests(BOTH))["echo"].fingerprint == "90c717c2a85a2b99"
