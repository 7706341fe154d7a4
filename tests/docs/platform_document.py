"""The OpenAPI document of the platform, composed in this process of what the services would serve."""

from __future__ import annotations

from functools import cache

from libs.common.http.api_document import Document
from libs.common.settings import Settings
from services.databox.app import create as create_databox
from services.gateway.pages.platform_document import build_platform_document
from services.registry.app import create as create_registry
from services.scheduler.app import create as create_scheduler

CREATE = {"registry": create_registry, "scheduler": create_scheduler, "databox": create_databox}
URL = "http://mesh.example"


@cache
def platform_document() -> Document:
    settings = Settings.model_validate({"internal_token": "i" * 32, "secret_key": "s" * 32})
    return build_platform_document({name: create(settings).openapi() for name, create in CREATE.items()}, URL)
