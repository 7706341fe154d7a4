"""`/api/v1/templates`: what an app may begin with."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.documented_router import DocumentedRouter
from libs.common.http.response_shapes import Page, response_shape
from libs.common.templates import template as repository_templates
from libs.common.templates.template import LocalizedText, RepositoryTemplate

router = DocumentedRouter(prefix="/api/v1/templates", tags=["apps"])


@response_shape
class LocalizedTextJson(TypedDict):
    """A text in each language."""

    en: str
    ru: str


@response_shape
class TemplateParameterJson(TypedDict):
    """A value that the files of the template contain."""

    name: Annotated[str, Field(examples=["size"])]
    description: LocalizedTextJson
    default: str
    pattern: str
    """A regular expression for the whole value."""


@response_shape
class TemplateSecretJson(TypedDict):
    """A Secret that the template's manifests declare; its values are to be set."""

    name: Annotated[str, Field(examples=["users"])]
    keys: list[str]


@response_shape
class TemplateJson(TypedDict):
    """The files of a repository, from which an app begins."""

    name: Annotated[str, Field(examples=["function"])]
    title: LocalizedTextJson
    description: LocalizedTextJson
    parameters: list[TemplateParameterJson]
    secrets: list[TemplateSecretJson]
    next: LocalizedTextJson
    """What to do when the app is there."""


@router.get("")
async def list_templates() -> Page[TemplateJson]:
    """What an app may begin with."""
    templates = await asyncio.to_thread(repository_templates.list_templates)
    return {"items": [_template_to_json(template) for template in templates], "next": None}


def _template_to_json(template: RepositoryTemplate) -> TemplateJson:
    description = template.description
    return {
        "name": template.name,
        "title": _text_to_json(description.title),
        "description": _text_to_json(description.description),
        "parameters": [
            {
                "name": parameter.name,
                "description": _text_to_json(parameter.description),
                "default": parameter.default,
                "pattern": parameter.pattern,
            }
            for parameter in description.parameters
        ],
        "secrets": [{"name": secret.name, "keys": [*secret.keys]} for secret in description.secrets],
        "next": _text_to_json(description.next),
    }


def _text_to_json(text: LocalizedText) -> LocalizedTextJson:
    return {"en": text.en, "ru": text.ru}
