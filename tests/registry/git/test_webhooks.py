"""Detection of forges, signatures and the parsing of pushes: tables of cases."""

import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest

from libs.common.errors import Malformed
from services.registry.git.webhooks import (
    FORGES,
    Push,
    detect_forge,
    get_delivery_id,
    is_signature_valid,
    parse_bearer_token,
    parse_push,
)

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub's own example of body, secret and digest ("Validating webhook deliveries")."""
COMMIT = "a" * 40
BY_NAME = {forge.name: forge for forge in FORGES}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"X-Hub-Signature-256": "sha256=00"}, "github"),
        ({"x-hub-signature-256": "sha256=00"}, "github"),
        ({"X-Gitea-Signature": "00", "X-Gogs-Signature": "00", "X-Hub-Signature-256": "sha256=00"}, "gitea"),
        ({"X-Forgejo-Signature": "00", "X-Gitea-Signature": "00", "X-Hub-Signature-256": "sha256=00"}, "forgejo"),
        ({"X-Gogs-Signature": "00"}, "gogs"),
    ],
)
def test_a_forge_is_known_by_its_signature(headers: dict[str, str], name: str) -> None:
    forge = detect_forge(headers)
    assert forge is not None
    assert forge.name == name


@pytest.mark.parametrize(
    "headers", [{}, {"X-GitHub-Event": "push"}, {"X-Hub-Signature": "sha1=00"}, {"X-Gitlab-Token": "x"}]
)
def test_a_delivery_without_a_known_signature_is_of_no_forge(headers: dict[str, str]) -> None:
    assert detect_forge(headers) is None


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("github", "X-Hub-Signature-256", f"sha256={DIGEST}"),
        ("gitea", "X-Gitea-Signature", DIGEST),
        ("forgejo", "X-Forgejo-Signature", DIGEST),
        ("gogs", "X-Gogs-Signature", DIGEST),
    ],
)
def test_a_true_signature_is_accepted_and_only_for_these_bytes(name: str, header: str, value: str) -> None:
    assert is_signature_valid(BY_NAME[name], {header: value}, BODY, SECRET)
    assert not is_signature_valid(BY_NAME[name], {header: value}, BODY + b" ", SECRET)
    assert not is_signature_valid(BY_NAME[name], {header: value}, BODY, SECRET + "x")


@pytest.mark.parametrize(
    "value", ["", DIGEST, "sha256=", f"sha1={DIGEST}", f"sha256={DIGEST[:-1]}", f"sha256={DIGEST.upper()}", "sha256=é"]
)
def test_what_is_not_exactly_githubs_signature_is_refused(value: str) -> None:
    assert not is_signature_valid(BY_NAME["github"], {"X-Hub-Signature-256": value}, BODY, SECRET)


def test_an_empty_secret_signs_nothing() -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    assert not is_signature_valid(BY_NAME["gitea"], {"X-Gitea-Signature": empty}, BODY, "")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_a_bearer_token_is_taken_from_its_header(header: str, token: str | None) -> None:
    assert parse_bearer_token(header) == token


def test_the_delivery_has_the_id_that_its_forge_gave_it() -> None:
    headers = {"X-GitHub-Delivery": "of-github", "X-Gitea-Delivery": "of-gitea"}
    assert get_delivery_id(BY_NAME["github"], headers) == "of-github"
    assert get_delivery_id(BY_NAME["gitea"], headers) == "of-gitea"
    assert get_delivery_id(BY_NAME["gogs"], headers) is None


@pytest.mark.parametrize(
    ("event", "document", "push"),
    [
        ("push", {"ref": "refs/heads/main", "after": COMMIT}, Push("push", "main", COMMIT)),
        ("push", {"ref": "refs/heads/team/x", "after": COMMIT}, Push("push", "team/x", COMMIT)),
        ("push", {"ref": "refs/heads/main", "after": "b" * 64}, Push("push", "main", "b" * 64)),
        ("push", {"ref": "refs/heads/main", "after": "nonsense"}, Push("push", "main", None)),
        ("push", {"ref": "refs/heads/main", "after": COMMIT.upper()}, Push("push", "main", None)),
        ("push", {"ref": "refs/heads/main"}, Push("push", "main", None)),
        ("push", {"ref": "refs/heads/main", "after": "0" * 40}, Push("deletion", "main")),
        ("push", {"ref": "refs/heads/main", "after": COMMIT, "deleted": True}, Push("deletion", "main")),
        ("push", {"ref": "refs/tags/v1", "after": COMMIT}, Push("other")),
        ("push", {}, Push("push")),
        ("ping", {"zen": "Keep it logically awesome."}, Push("ping")),
        ("issues", {"action": "opened"}, Push("other")),
    ],
)
def test_a_delivery_says_what_happened_to_which_branch(event: str, document: dict[str, object], push: Push) -> None:
    assert parse_push(BY_NAME["github"], {"X-GitHub-Event": event}, json.dumps(document).encode()) == push


def test_github_may_wrap_the_document_into_a_form() -> None:
    document = json.dumps({"ref": "refs/heads/main", "after": COMMIT})
    headers = {"X-GitHub-Event": "push", "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"payload": document}).encode()
    assert parse_push(BY_NAME["github"], headers, body) == Push("push", "main", COMMIT)


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"\xff", b'{"ref": 1}', b"[" * 100_000])
def test_a_push_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_push(BY_NAME["github"], {"X-GitHub-Event": "push"}, body)


def test_with_a_bearer_token_an_empty_body_is_enough() -> None:
    assert parse_push(None, {}, b"") == Push("push")
    assert parse_push(None, {}, b'{"ref": "refs/heads/main"}') == Push("push", "main")
