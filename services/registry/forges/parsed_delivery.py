"""A proven delivery as the registry acts on it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.registry.forges.forge_table import UNKNOWN, Forge
from services.registry.forges.incoming_delivery import IncomingDelivery
from services.registry.forges.pushes import Change, Changes

MAX_EVENT_LENGTH = 64
MAX_REF_LENGTH = 255
DELIVERY_ID = re.compile(r"[\w.:{}@=+-]{1,200}", re.ASCII)
"""One with other characters is not taken as an id: it is part of an address."""
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class ParsedDelivery:
    """`changes` are empty when it reports no push. `delivery_id` stays the same when the forge repeats it."""

    event: str
    delivery_id: str | None = None
    is_ping: bool = False
    changes: Changes = ()


def parse_delivery(forge: Forge, delivery: IncomingDelivery) -> ParsedDelivery:
    """Raises Malformed when the body has not the form of the forge's pushes."""
    event = forge.get_event(delivery)
    if event in forge.ping_events:
        return ParsedDelivery(event, get_delivery_id(forge, delivery), is_ping=True)
    if forge.push_events and event not in forge.push_events:
        return ParsedDelivery(describe_event(forge, delivery), get_delivery_id(forge, delivery))
    is_empty = forge is UNKNOWN and not delivery.body.strip()
    document = {} if is_empty else delivery.parse_document()
    delivery_id = get_delivery_id(forge, delivery, document)
    return ParsedDelivery(describe_event(forge, delivery) or "push", delivery_id, changes=forge.parse(event, document))


def get_delivery_id(forge: Forge, delivery: IncomingDelivery, document: Mapping[str, Any] | None = None) -> str | None:
    """The forge's own id of the delivery."""
    values = [delivery.get_header(name) for name in forge.delivery_headers]
    if document is not None and forge.delivery_field:
        values.append(str(document.get(forge.delivery_field) or ""))
    return next((value for value in values if DELIVERY_ID.fullmatch(value)), None)


def describe_event(forge: Forge, delivery: IncomingDelivery) -> str:
    """The event as it is shown in the delivery log."""
    return make_storable(forge.get_event(delivery))[:MAX_EVENT_LENGTH]


def describe_ref(change: Change | None) -> str | None:
    """The ref as it is shown in the delivery log."""
    return make_storable(change.ref)[:MAX_REF_LENGTH] if change is not None and change.ref is not None else None


def make_storable(text: str) -> str:
    """Without what no database stores."""
    return UNSTORABLE.sub("\ufffd", text)
