"""Every command that calls a mesh, once: its arguments, and the replies of a mesh that has everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.fake_mesh import FakeMesh, Reply

DEPLOYMENT: dict[str, Any] = {
    "id": "d1", "commit": "0123456789abcdef", "author": "Ada", "message": "first", "trigger": "sync",
    "status": "live", "created_at": "2026-01-01T00:00:00.000Z", "live_at": "2026-01-01T00:00:01.000Z",
    "steps": [{"name": "fetch", "status": "succeeded", "detail": "main"}], "caused_by": "token ci", "repeats": None,
    "errors": [], "warnings": [{"file": "a.yml", "line": 1, "column": 1, "message": "odd", "log_tail": ["last"]}],
}  # fmt: skip
WHY = {"code": "error", "detail": "it broke"}
DIFF: dict[str, Any] = {
    "app": "a", "commit": "0123456789abcdef", "live_commit": None, "warnings": [], "boxes_kept": ["b"],
    "changes": {"since": None, "items": [], "omitted": 0}, "instances": [{"component": "c", "action": "start"}],
}  # fmt: skip
RUN: dict[str, Any] = {
    "id": "r1", "pipeline": "train", "status": "succeeded", "reason": WHY, "user": "alice", "attempt": 1,
    "stages": [{"name": "fit", "status": "failed", "progress": None, "reason": WHY, "log_tail": ["last words"]}],
    "inputs": {"text": "in/a"}, "outputs": {"model": "m/x/"}, "labels": {"k": "v"}, "result": None,
    "chain": [{"id": "r1", "pipeline": "train", "status": "succeeded", "self": "/a/runs/r1"}],
    "created_at": "2026-01-01T00:00:00.000Z", "started_at": "2026-01-01T00:00:01.000Z",
    "finished_at": "2026-01-01T00:00:03.000Z",
}  # fmt: skip
COMPONENT: dict[str, Any] = {
    "name": "c", "status": "failing", "reason": WHY, "error": "it broke", "log_tail": ["last words"],
    "instances": [{"id": "i1", "status": "starting", "worker": "w", "reason": WHY, "started_at": None}],
}  # fmt: skip
APP: dict[str, Any] = {
    "name": "a", "title": "An app", "repository": {"url": "file:///r", "branch": "main"}, "live": DEPLOYMENT,
    "newest": {**DEPLOYMENT, "id": "d2", "status": "failed"},
    "apis": [{"name": "digits", "target": "ml", "path": "digits", "url": "http://m/a/digits/predict"}],
    "components": [COMPONENT], "boxes": [{"name": "b", "used": 1, "capacity": 10, "detached": False}],
    "unavailable": [{"service": "databox", "detail": "cannot be reached"}],
}  # fmt: skip
TEXT = {"en": "A function", "ru": "Функция"}
TEMPLATE: dict[str, Any] = {
    "name": "function", "title": TEXT, "description": TEXT, "secrets": [], "next": TEXT,
    "parameters": [{"name": "size", "description": TEXT, "default": "256", "pattern": "[0-9]+"}],
}  # fmt: skip
CREATED = {**APP, "newest": DEPLOYMENT, "deployment": "d1", "clone": "http://m/git/a.git"}
SCHEDULE = {"pipeline": "train", "cron": "* * * * *", "timezone": "UTC", "next_at": None, "problem": "none"}
WORKER = {"name": "w", "host": "h", "classes": ["cpu"], "free": 1, "slots": 2, "tasks": []}
TOKEN = {"id": "t1", "name": "ci", "scopes": ["read"], "created_at": "2026-01-01T00:00:00.000Z", "expires_at": None}
USER = {
    "name": "petrova", "administrator": True, "has_password": False, "disabled_at": None,
    "created_at": "2026-01-01T00:00:00.000Z", "created_by": "setup",
}  # fmt: skip
MEMBER = {"kind": "user", "name": "petrova", "role": "owner", "added_by": "manifest", "added_at": None}
INVITATION = {"user": "petrova", "token": "text", "expires_at": "2026-01-08T00:00:00.000Z"}
ME = {
    "name": "petrova", "token": "", "administrator": False, "scopes": ["write:a"],
    "roles": [{"app": "a", "role": "owner", "via": "name"}], "language": None, "theme": None,
}  # fmt: skip
DELIVERY = {
    "id": "one", "received_at": "2026-01-01T00:00:00.000Z", "forge": "gitea", "event": "push", "ref": "refs/heads/main",
    "status": 401, "deployment": None, "failed": {"check": "signature", "detail": "set the secret"},
}  # fmt: skip
APPS = "/api/v1/apps"
Replies = dict[tuple[str, str], Any]


@dataclass(frozen=True)
class Case:
    words: tuple[str, ...]
    replies: Replies
    files: dict[str, str] = field(default_factory=dict)

    def prepare_mesh(self, mesh: FakeMesh, folder: Path) -> None:
        for (method, path), reply in self.replies.items():
            mesh.set_replies(method, path, reply)
        for name, text in self.files.items():
            (folder / name).write_text(text)


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next": None}


def case(words: str, replies: Replies, **files: str) -> Case:
    return Case(tuple(words.split()), replies, {name.replace("_", "."): text for name, text in files.items()})


CASES = [
    case("app list", {("GET", APPS): page(APP)}),
    case("app create a --template function --parameter size=9", {("POST", APPS): CREATED}),
    case("template list", {("GET", "/api/v1/templates"): page(TEMPLATE)}),
    case("app show a", {("GET", f"{APPS}/a"): APP}),
    case("app sync a", {("POST", f"{APPS}/a/sync"): DEPLOYMENT}),
    case("app deliveries a", {("GET", f"{APPS}/a/deliveries"): page(DELIVERY)}),
    case("app redeliver a one", {("POST", f"{APPS}/a/deliveries/one/redeliver"): DEPLOYMENT}),
    case("app delete a --yes", {("GET", f"{APPS}/a"): APP, ("DELETE", f"{APPS}/a"): None}),
    case("promote a b", {("POST", f"{APPS}/b/promote"): DEPLOYMENT}),
    case("diff --app a --ref main", {("GET", f"{APPS}/a/diff"): DIFF}),
    case("deployment list a", {("GET", f"{APPS}/a/deployments"): page(DEPLOYMENT)}),
    case("deployment show a d1", {("GET", f"{APPS}/a/deployments/d1"): DEPLOYMENT}),
    case(
        "deployment logs a d1",
        {
            ("GET", f"{APPS}/a/deployments/d1/builds"): page({"image": "c"}),
            ("GET", f"{APPS}/a/deployments/d1/builds/c/log"): Reply(200, b"one\ntwo\n"),
        },
    ),
    case("deployment rollback a", {("POST", f"{APPS}/a/rollback"): DEPLOYMENT}),
    case("component list a", {("GET", f"{APPS}/a/components"): page(COMPONENT)}),
    case("component show a c", {("GET", f"{APPS}/a/components/c"): COMPONENT}),
    case(
        "component restart a c",
        {("GET", f"{APPS}/a/components/c"): COMPONENT, ("POST", f"{APPS}/a/components/c/restart"): COMPONENT},
    ),
    case("component logs a c", {("GET", f"{APPS}/a/components/c/logs"): Reply(200, b"one\ntwo\n")}),
    case("run start a train", {("POST", "/a/train/runs"): RUN}),
    case("run list a", {("GET", f"{APPS}/a/runs"): page(RUN)}),
    case("run show a r1", {("GET", f"{APPS}/a/runs/r1"): RUN}),
    case("run watch a r1", {("GET", f"{APPS}/a/runs/r1"): RUN}),
    case("run logs a r1", {("GET", f"{APPS}/a/runs/r1/logs"): Reply(200, b"one\ntwo\n")}),
    case("run cancel a r1", {("POST", f"{APPS}/a/runs/r1/cancel"): RUN}),
    case("run retry a r1", {("POST", f"{APPS}/a/runs/r1/retry"): RUN}),
    case("run delete a r1", {("DELETE", f"{APPS}/a/runs/r1"): None}),
    case(
        "run outputs a r1 model",
        {("GET", f"{APPS}/a/runs/r1/outputs/model"): page({"name": "x", "size": 1, "modified": None})},
    ),
    case("box ls a b", {("GET", "/a/files/b/"): page({"name": "g/x", "size": 1, "modified": None})}),
    case("box put a up.txt b/g/x", {("PUT", "/a/files/b/g/x"): Reply(201)}, up_txt="hello"),
    case("box get a b/g/x down.txt", {("GET", "/a/files/b/g/x"): Reply(200, b"hello")}),
    case("box rm a b/g/x", {("DELETE", "/a/files/b/g/x"): Reply(204), ("GET", "/a/files/b/g/x"): {}}),
    case("secret set a users k=v", {("PUT", f"{APPS}/a/secrets/users"): None}),
    case(
        "secret list a",
        {("GET", f"{APPS}/a/secrets"): page({"name": "users", "keys": ["k"], "missing": [], "updated_at": None})},
    ),
    case("secret unset a users k", {("DELETE", f"{APPS}/a/secrets/users/k"): None}),
    case("secret rekey", {("POST", "/api/v1/secrets/rekey"): {"reencrypted": 2, "current": 1, "unreadable": []}}),
    case("secret delete a users", {("DELETE", f"{APPS}/a/secrets/users"): None}),
    case("schedule list a", {("GET", f"{APPS}/a/schedules"): page(SCHEDULE)}),
    case("schedule pause a train", {("POST", f"{APPS}/a/schedules/train/pause"): SCHEDULE}),
    case("schedule resume a train", {("POST", f"{APPS}/a/schedules/train/resume"): SCHEDULE}),
    case("token create ci --scope read", {("POST", "/api/v1/tokens"): {**TOKEN, "token": "text"}}),
    case("token list", {("GET", "/api/v1/tokens"): page(TOKEN)}),
    case("token revoke ci", {("DELETE", "/api/v1/tokens/ci"): None}),
    case(
        "personal-token create laptop --scope call:a",
        {("POST", "/api/v1/me/tokens"): {**TOKEN, "used_at": None, "token": "text"}},
    ),
    case("personal-token list", {("GET", "/api/v1/me/tokens"): page({**TOKEN, "used_at": None})}),
    case("personal-token revoke laptop", {("DELETE", "/api/v1/me/tokens/laptop"): None}),
    case("logout", {("GET", "/api/v1/me"): ME, ("DELETE", "/api/v1/sessions/current"): None}),
    case("me", {("GET", "/api/v1/me"): ME}),
    case("user list", {("GET", "/api/v1/users"): page(USER)}),
    case("user invite petrova", {("POST", "/api/v1/users"): INVITATION}),
    case("user disable petrova", {("PATCH", "/api/v1/users/petrova"): USER}),
    case("user enable petrova", {("PATCH", "/api/v1/users/petrova"): USER}),
    case("user delete petrova --yes", {("DELETE", "/api/v1/users/petrova"): None}),
    case("member list a", {("GET", f"{APPS}/a/members"): page(MEMBER)}),
    case("member set a petrova developer", {("PUT", f"{APPS}/a/members/user/petrova"): None}),
    case("member remove a teachers --group", {("DELETE", f"{APPS}/a/members/group/teachers"): None}),
    case("key create a --user bob", {("POST", f"{APPS}/a/keys"): {"id": "k1", "user": "bob", "key": "text"}}),
    case("key list a", {("GET", f"{APPS}/a/keys"): page({"id": "k1", "user": "bob", "created_at": None})}),
    case("key revoke a k1", {("DELETE", f"{APPS}/a/keys/k1"): None}),
    case("worker list", {("GET", "/api/v1/workers"): page(WORKER)}),
    case("worker drain w", {("POST", "/api/v1/workers/w/drain"): {"name": "w"}}),
    case("worker undrain w", {("POST", "/api/v1/workers/w/drain"): {"name": "w"}}),
    case(
        "queue list", {("GET", "/api/v1/queues"): page({"name": "cpu", "depth": 0, "oldest": None, "dead": 0})}
    ),
    case("queue redrive cpu", {("POST", "/api/v1/queues/cpu/redrive"): {"name": "cpu"}}),
    case("predict a f --input x=1", {("POST", "/a/f/predict"): {"outputs": [{"name": "y", "data": "z"}]}}),
    case(
        "apply -f app.yaml",
        {("POST", "/api/v1/apply"): {"app": "a", "applied": [{"kind": "K", "name": "n", "action": "created"}]}},
        app_yaml="kind: PlatformApp\n",
    ),
]  # fmt: skip
