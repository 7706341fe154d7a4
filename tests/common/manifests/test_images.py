import pytest

from libs.common.manifests.images import ImageReference

DIGEST = "sha256:" + "0f" * 32
REFERENCES = [
    ("app", ("app", None, None)),
    ("team/app:1.0", ("team/app", "1.0", None)),
    ("images.example:5000/team/app:1.0", ("images.example:5000/team/app", "1.0", None)),
    ("localhost:5000/app", ("localhost:5000/app", None, None)),
    (f"team/app@{DIGEST}", ("team/app", None, DIGEST)),
    (f"team/app:1.0@{DIGEST}", ("team/app", "1.0", DIGEST)),
    ("a-b__c.d/e--f", ("a-b__c.d/e--f", None, None)),
    ("python:3.11-slim_X", ("python", "3.11-slim_X", None)),
]


@pytest.mark.parametrize(("text", "parts"), REFERENCES)
def test_a_reference_has_name_tag_and_digest(text: str, parts: tuple[str, str | None, str | None]) -> None:
    assert ImageReference.parse(text) == ImageReference(*parts)
    assert str(ImageReference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Team/App",
        "https://images.example/app",
        "app:",
        "app@sha256:12",
        "a b",
        "/app",
        "app/",
        "a//b",
        "app:1.0\n",
        "../app",
        "app:" + "x" * 129,
        "a" * 600,
        "a_-b",
        "образ",
    ],
)
def test_what_has_not_the_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be an image reference such as"):
        ImageReference.parse(text)


@pytest.mark.parametrize("host", ["", "docker.io/", "index.docker.io/"])
def test_what_a_mesh_has_built_is_not_used_by_name(host: str) -> None:
    with pytest.raises(ValueError, match="images that a mesh has built are not used by name"):
        ImageReference.parse(f"{host}mlmesh-0123456789ab/leaf:{'1f' * 16}")
