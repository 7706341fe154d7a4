"""The OpenAPI document of the platform: composed of what the services serve now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from libs.common.errors import MeshError, NotFound
from libs.common.http.api_document import Document
from services.gateway.internal_client import InternalService, InternalServices
from services.gateway.pages.platform_document import build_platform_document

MAX_AGE_S = 60.0
"""How long a document is used: a service may be upgraded while the gateway runs."""


class PlatformDocs:
    def __init__(
        self, services: InternalServices, public_url: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._services = services
        self._public_url = public_url
        self._clock = clock
        self._documents: dict[str, Document] = {}
        self._document: Document = {}
        self._built_at = -MAX_AGE_S

    async def build_document(self) -> Document:
        """Raises the error of a service that has never described itself, such as Unavailable."""
        if self._clock() - self._built_at >= MAX_AGE_S:
            services = self._services.list_all()
            documents = await asyncio.gather(*(self._fetch(service) for service in services))
            described = {service.name: document for service, document in zip(services, documents, strict=True)}
            if described != self._documents or not self._document:
                self._document = await asyncio.to_thread(build_platform_document, described, self._public_url)
            self._documents, self._built_at = described, self._clock()
        return self._document

    async def _fetch(self, service: InternalService) -> Document:
        """The service's own document; the last one while it does not respond, an empty one of an older release."""
        try:
            document = await service.request_json("GET", "/internal/openapi.json")
        except NotFound:
            return {}
        except MeshError:
            if service.name not in self._documents:
                raise
            return self._documents[service.name]
        return cast(Document, document)
