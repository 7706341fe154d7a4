"""How long a delivery is tried."""

from __future__ import annotations

from services.scheduler.callbacks import delivery_transitions
from services.scheduler.model.callback import Delivery


def test_pauses_grow_to_more_than_a_day_and_then_it_has_failed() -> None:
    delivery = Delivery(id="m_1", run="r_1", event="failed", body="{}", created_at=0.0)
    now, seen = 0.0, []
    while delivery.state == "pending":
        delivery = Delivery(
            **{
                **delivery.__dict__,
                **delivery_transitions.delivery_after_attempt(delivery, 500, "it answered 500", 0.1, now),
            }
        )
        seen.append(delivery.next_at)
        now = delivery.next_at or now
    assert (delivery.state, delivery.next_at, len(delivery.attempts)) == (
        "failed",
        None,
        len(delivery_transitions.RETRY_DELAYS_S) + 1,
    )
    assert now > 86400
    gone = delivery_transitions.delivery_after_attempt(
        Delivery(id="m", run="r", event="failed", body="", created_at=0.0), 410, "gone", 0.1, 5.0
    )
    assert gone["state"] == "failed"
