"""Each form of a push as changes of refs. Pure. Raises Malformed for a document of another form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.errors import Malformed

BRANCH_PREFIX, TAG_PREFIX = "refs/heads/", "refs/tags/"
MAX_CHANGES = 1000
"""Of one push; polling sees what comes after them."""
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """`ref` is the whole name, None when the forge does not say it. `commit` is a hint about the new head."""

    ref: str | None
    commit: str | None = None
    deleted: bool = False


Changes = tuple[Change, ...]


def find_change(changes: Iterable[Change], follows: Callable[[str], bool]) -> Change | None:
    """The last change of a followed ref, or of one that is not named; None when the push is for other refs."""
    matching = [change for change in changes if change.ref is None or follows(change.ref)]
    return matching[-1] if matching else None


def parse_github_push(event: str, document: Document) -> Changes:
    """The form of GitHub, which Gitea, Forgejo, Gogs, GitBucket, Gitee and soft-serve share.

    Gitea's "Test delivery" is a push from no commit to no commit: nothing was deleted.
    """
    if event == "delete":
        return (_parse_deletion(document),)
    ref, commit = _get_text(document, "ref"), document.get("after")
    deleted = document.get("deleted") is True or (_is_zero(commit) and not _is_zero(document.get("before")))
    return (_make_change(ref, commit, deleted),)


def _parse_deletion(document: Document) -> Change:
    """The event `delete`, with which Gitea reports a deleted branch: its `ref` is the short name."""
    name = _get_text(document, "ref") or ""
    prefix = BRANCH_PREFIX if document.get("ref_type") == "branch" else TAG_PREFIX
    return Change(name if name.startswith("refs/") else prefix + name, deleted=True)


def parse_gitlab_push(_event: str, document: Document) -> Changes:
    """Of a project's hook, or of a system hook, which has other events under the same name."""
    if document.get("object_kind", document.get("event_name", "push")) not in ("push", "tag_push"):
        return ()
    deleted = _is_zero(document.get("after")) or document.get("checkout_sha", "") is None
    return (_make_change(_get_text(document, "ref"), document.get("after"), deleted),)


def parse_bitbucket_push(_event: str, document: Document) -> Changes:
    """Of Bitbucket Cloud: `new` is null for a ref that was deleted."""
    changes = _list_objects(_get_object(document, "push"), "changes")
    return tuple(_parse_bitbucket_change(change) for change in changes)


def _parse_bitbucket_change(change: Document) -> Change:
    new, old = _get_object(change, "new"), _get_object(change, "old")
    target = new or old
    prefix = BRANCH_PREFIX if target.get("type") == "branch" else TAG_PREFIX
    ref = prefix + (_get_text(target, "name") or "")
    return _make_change(ref, _get_object(new, "target").get("hash"), not new)


def parse_data_center_push(_event: str, document: Document) -> Changes:
    """Of Bitbucket Data Center."""
    return tuple(
        _make_change(
            _get_text(_get_object(change, "ref"), "id") or "", change.get("toHash"), change.get("type") == "DELETE"
        )
        for change in _list_objects(document, "changes")
    )


def parse_azure_push(_event: str, document: Document) -> Changes:
    """Without details of the resource, which a subscription may leave out, any branch may have changed."""
    if document.get("eventType") != "git.push":
        return ()
    resource = _get_object(document, "resource")
    if resource.get("refUpdates") is None:
        return (Change(None),)
    return tuple(
        _make_change(_get_text(update, "name") or "", update.get("newObjectId"), _is_zero(update.get("newObjectId")))
        for update in _list_objects(resource, "refUpdates")
    )


def parse_pagure_push(event: str, document: Document) -> Changes:
    """The names of branches and tags are short ones; a deletion names the commit that was there."""
    message = _get_object(document, "msg")
    tag, branch = _get_text(message, "tag") or "", _get_text(message, "branch") or ""
    commit = message.get("end_commit", message.get("rev"))
    ref = TAG_PREFIX + tag if event.startswith("git.tag.") else BRANCH_PREFIX + branch
    if branch.startswith("refs/"):
        ref = branch
    return (_make_change(ref, commit, event.endswith(".deletion") or _is_zero(commit)),)


def parse_any_push(event: str, document: Document) -> Changes:
    """Of a sender that is not known: the form that the document has; an empty one is a push to any branch."""
    if "eventType" in document:
        return parse_azure_push(event, document)
    if "object_kind" in document:
        return parse_gitlab_push(event, document)
    if isinstance(document.get("push"), Mapping):
        return parse_bitbucket_push(event, document)
    if "changes" in document and "ref" not in document:
        return parse_data_center_push(event, document)
    return parse_github_push(event, document)


def _make_change(ref: str | None, commit: object, deleted: bool) -> Change:
    return Change(ref, None if deleted else _parse_commit(commit), deleted)


def _parse_commit(value: object) -> str | None:
    fits = isinstance(value, str) and len(value) in (40, 64) and all(letter in "0123456789abcdef" for letter in value)
    return str(value) if fits and not _is_zero(value) else None


def _is_zero(commit: object) -> bool:
    return isinstance(commit, str) and bool(commit) and not commit.strip("0")


def _get_text(document: Document, key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"the webhook's {key} is not text")
    return value


def _get_object(document: Document, key: str) -> Document:
    """Empty when it is missing or null."""
    value = document.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise Malformed(f"the webhook's {key} is not an object")
    return value or {}


def _list_objects(document: Document, key: str) -> list[Document]:
    """The first MAX_CHANGES of a list."""
    values = document.get(key)
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values[:MAX_CHANGES]):
        raise Malformed(f"the webhook's {key} are not a list of objects")
    return values[:MAX_CHANGES]
