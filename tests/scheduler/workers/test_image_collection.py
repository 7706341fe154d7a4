"""Which built images an engine may remove."""

from __future__ import annotations

from libs.common.protocol.image_inventory import EngineImage
from services.scheduler.workers.image_collection import select_removable

OLD, NEW = (EngineImage(app="leaf", key=name, image=f"sha256:{name}") for name in ("old", "new"))
USES = {("leaf", "old"): 10.0, ("leaf", "new"): 90.0}


def test_what_was_not_used_for_long_may_go() -> None:
    assert select_removable([OLD, NEW], frozenset(), USES, oldest=50.0) == [OLD]
    assert select_removable([OLD, NEW], frozenset(), USES, oldest=100.0) == [OLD, NEW]


def test_what_something_runs_or_builds_stays() -> None:
    for needed in ("sha256:old", "old"):
        assert select_removable([OLD, NEW], frozenset({needed}), USES, oldest=100.0) == [NEW]


def test_what_nobody_knows_may_go() -> None:
    assert select_removable([NEW], frozenset(), {("oak", "new"): 90.0}, oldest=50.0) == [NEW]
