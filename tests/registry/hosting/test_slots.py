"""Places in all, and for one app."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from libs.common.errors import Unavailable
from services.registry.hosting.slots import Slots


def test_one_app_cannot_take_all_places() -> None:
    slots = Slots("pushes", total=3, per_app=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(slots.hold("leaf"))
        with pytest.raises(Unavailable, match="too many pushes at once; try again in a moment"):
            slots.check_free("leaf")
        stack.enter_context(slots.hold("oak"))
        with pytest.raises(Unavailable), slots.hold("elm"):
            raise AssertionError("not reached")
        assert [slots.is_held(app) for app in ("leaf", "oak", "elm")] == [True, True, False]
    slots.check_free("leaf")
    assert not slots.is_held("leaf")
