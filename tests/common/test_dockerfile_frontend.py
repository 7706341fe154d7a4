"""Which program reads a Dockerfile."""

from __future__ import annotations

import pytest

from libs.common.dockerfile_frontend import find_foreign_frontend


@pytest.mark.parametrize(
    ("dockerfile", "foreign"),
    [
        (b"FROM python:3.12\n# syntax=own/frontend", None),
        (b"# a comment\n# syntax=own/frontend", None),
        (b"# syntax=docker/dockerfile:1\nFROM a", None),
        (b"#syntax = docker.io/docker/dockerfile:1.7-labs\r\nFROM a", None),
        (b"# syntax=docker/dockerfile@sha256:1a2b", None),
        (b"# syntax=own/frontend:1 --option\nFROM a", "own/frontend:1"),
        (b"\xef\xbb\xbf# escape=`\n# SYNTAX=own/frontend\nFROM a", "own/frontend"),
        (b"#!/usr/bin/env x\n// syntax=own/frontend", "own/frontend"),
        (b'{"syntax": "own/frontend"}', "own/frontend"),
        (b'{"no": 1}', None),
        (b"# syntax=docker/dockerfile.evil\n", "docker/dockerfile.evil"),
        (b"# syntax=host/docker/dockerfile", "host/docker/dockerfile"),
        (b"", None),
    ],
)
def test_a_frontend_that_is_not_of_docker_is_found(dockerfile: bytes, foreign: str | None) -> None:
    assert find_foreign_frontend(dockerfile) == foreign
