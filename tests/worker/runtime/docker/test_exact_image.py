"""What a name means on an engine, and which failures of a pull may pass."""

from __future__ import annotations

import pytest

from services.worker.runtime.docker.engine_api import ImageDetails
from services.worker.runtime.docker.exact_image import exact_image
from services.worker.runtime.docker.images import transfer_failure

ID = "sha256:" + "0f" * 32
A, B = "sha256:" + "aa" * 32, "sha256:" + "bb" * 32


@pytest.mark.parametrize(
    ("name", "digests", "exact"),
    [
        ("team/app:1", [f"team/app@{A}"], f"team/app@{A}"),
        ("team/app", [f"team/app@{A}"], f"team/app@{A}"),
        ("team/app:1", [f"registry.example/team/app@{A}", f"team/app@{B}"], f"team/app@{B}"),
        ("registry.example:5000/app:1", [f"registry.example:5000/app@{A}"], f"registry.example:5000/app@{A}"),
        ("python:3.12", [f"python@{A}"], f"python@{A}"),
        ("docker.io/library/python:3.12", [f"python@{A}"], f"docker.io/library/python@{A}"),
        ("index.docker.io/team/app:1", [f"team/app@{A}"], f"index.docker.io/team/app@{A}"),
        ("library/python:3.12", [f"python@{A}"], f"library/python@{A}"),
        (f"team/app:1@{A}", [f"team/app@{B}", f"team/app@{A}"], f"team/app@{A}"),
        (f"team/app@{A}", None, f"team/app@{A}"),
        ("team/app:1", [], ID),
        ("team/app:1", None, ID),
        ("team/app:1", [f"team/other@{A}"], ID),
        ("team/app:1", [f"registry.example/team/app@{A}"], ID),
        (ID, [f"team/app@{A}"], ID),
    ],
)
def test_a_name_means_a_digest_of_its_repository_or_the_images_id(
    name: str, digests: list[str] | None, exact: str
) -> None:
    image: ImageDetails = {"Id": ID, "RepoDigests": digests}
    assert exact_image(name, image) == exact


@pytest.mark.parametrize(
    ("message", "is_passing"),
    [
        ("pull access denied for team/app, repository does not exist or may require 'docker login'", False),
        ("manifest for team/app:9 not found: manifest unknown: manifest unknown", False),
        ("Head http://r/v2/team/app/manifests/1: unauthorized: incorrect username or password", False),
        ("Get http://r/v2/: no basic auth credentials", False),
        ("no matching manifest for linux/arm64 in the manifest list entries", False),
        ("write /var/lib/docker/tmp/x: no space left on device", False),
        ("Get http://127.0.0.1:1/v2/: dial tcp 127.0.0.1:1: connect: connection refused", True),
        ("Get https://r.example/v2/: dial tcp: lookup r.example: no such host", True),
        ("Get https://r.example/v2/: net/http: TLS handshake timeout", True),
        ("received unexpected HTTP status: 503 Service Unavailable", True),
        ("unexpected EOF", True),
    ],
)
def test_only_what_may_pass_is_tried_again(message: str, is_passing: bool) -> None:
    failure = transfer_failure("pull the image denied/app:1", message)
    assert (failure.code, failure.is_passing) == ("image", is_passing)
    assert failure.detail == f"cannot pull the image denied/app:1: {message}"
