"""The documents with which forges report a push, with the fields that are read, by their published formats."""

from typing import Any

COMMIT, OLDER, ZEROS = "2e" * 20, "1f" * 20, "0" * 40
MAIN, SIDE, TAG = "refs/heads/main", "refs/heads/side", "refs/tags/v2"
Document = dict[str, Any]


def write_github(ref: str, commit: str, deleted: bool) -> Document:
    return {
        "ref": ref,
        "before": OLDER,
        "after": commit,
        "deleted": deleted,
        "commits": [{"id": commit, "message": "Prüfung", "added": ["a b.txt"]}],
        "repository": {"clone_url": "https://git.example/ann/leaf.git", "default_branch": "main"},
    }


def write_gitea(ref: str, commit: str, deleted: bool) -> Document:
    document = write_github(ref, commit, deleted)
    return {key: value for key, value in document.items() if key != "deleted"} | {"total_commits": 1}


def write_gitlab(ref: str, commit: str, deleted: bool) -> Document:
    return {
        "object_kind": "tag_push" if ref == TAG else "push",
        "ref": ref,
        "before": OLDER,
        "after": commit,
        "checkout_sha": None if deleted else commit,
        "project": {"git_http_url": "https://lab.example/ann/leaf.git", "default_branch": "main"},
        "commits": [],
        "total_commits_count": 1,
    }


def write_bitbucket(ref: str, commit: str, deleted: bool) -> Document:
    kind, name = ("tag", "v2") if ref == TAG else ("branch", ref.removeprefix("refs/heads/"))
    side = {"type": kind, "name": name, "target": {"hash": commit}}
    first = {"old": None, "new": {"type": "tag", "name": "main", "target": {"hash": "3d" * 20}}}
    second = {"old": side, "new": None, "closed": True} if deleted else {"old": None, "new": side, "forced": False}
    return {"push": {"changes": [first, second]}, "repository": {"full_name": "ann/leaf"}}


def write_data_center(ref: str, commit: str, deleted: bool) -> Document:
    kind = "TAG" if ref == TAG else "BRANCH"
    change = {
        "ref": {"id": ref, "displayId": ref.rpartition("/")[2], "type": kind},
        "fromHash": OLDER,
        "toHash": commit,
        "type": "DELETE" if deleted else "UPDATE",
    }
    return {"eventKey": "repo:refs_changed", "changes": [change], "repository": {"slug": "leaf"}}


def write_azure(ref: str, commit: str, deleted: bool) -> Document:
    update = {"name": ref, "oldObjectId": OLDER, "newObjectId": commit}
    repository = {"remoteUrl": "https://dev.example/o/p/_git/leaf", "defaultBranch": MAIN}
    return {"id": "6b", "eventType": "git.push", "resource": {"refUpdates": [update], "repository": repository}}


def write_pagure(ref: str, commit: str, deleted: bool) -> Document:
    """The deletion of a branch has another topic; its document differs in one field."""
    message = {"branch": ref.removeprefix("refs/heads/"), "start_commit": OLDER, "end_commit": commit, "forced": False}
    return {"i": 1, "msg": message, "msg_id": f"2026-{commit[:8]}-{ref[11:]}", "topic": "git.receive"}
