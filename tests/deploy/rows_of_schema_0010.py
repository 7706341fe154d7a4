"""Rows of schema 0010, before the migration 0011 renamed tables and columns: by table, with the old names."""

from __future__ import annotations

from typing import Any

from tests.scheduler.model.documents import run_with_values

RUN_PLAN = run_with_values().plan.to_json()
MOVES = [["shop/.internal/runs/r_1/", "shop/results/runs/r_1/"]]
EVENTS = ["running", "succeeded"]
TRIES = [{"at": "2026-01-01T00:00:00.000Z", "status": 500, "error": None, "seconds": 0.1}]
CALLBACK = {"url": "https://a.test/", "events": ["succeeded"], "headers": {}}
CLEANUP = {"areas": ["runs/r_0"], "published": []}
BOUNDS = {"least": 0, "most": 4, "target": 2.0, "idle_timeout": 60.0}
CATALOG = {"secrets": {"users": ["alice"]}}

ROWS: dict[str, list[dict[str, Any]]] = {
    "databox_boxes": [{"app": "shop", "name": "results", "capacity": 1000, "detached": False, "changes": 7}],
    "databox_publications": [
        {"app": "shop", "id": "r_1", "moves": MOVES, "fresh": ["shop/results/runs/r_1/a"], "created_at": 1.0},
        {
            "app": "shop", "id": "r_0", "moves": MOVES, "fresh": [], "answer": {"files": {"number": 1, "bytes": 3}},
            "created_at": 1.0,
        },
    ],
    "databox_reservations": [
        {
            "id": "u_1", "app": "shop", "box": "results", "key": "shop/results/a", "size": 5, "before": "etag-1",
            "expires_at": 4e9,
        },
        {"id": "u_2", "app": "shop", "box": "results", "size": 6, "expires_at": 4e9},
    ],
    "registry_apps": [
        {
            "name": "shop", "title": "Shop", "description": "", "module_kind": "base", "owners": ["ann"],
            "created_at": 1.0,
        }
    ],
    "registry_repositories": [
        {
            "app": "shop", "name": "shop", "url": "https://forge.test/shop.git", "branch": "main", "path": "",
            "poll_interval": 60.0, "webhook_sealed": b"\x00sealed", "head": "c0ffee", "abandoned": "c0ffee",
            "polled_at": 2.0,
        }
    ],
    "registry_secrets": [{"app": "shop", "name": "users", "keys": ["alice"], "version": 1, "updated_at": 1.0}],
    "registry_secret_values": [
        {"app": "shop", "name": "users", "key": "alice", "sealed": b"\x01sealed", "verifier": "$argon2id$"}
    ],
    "registry_revisions": [
        {
            "id": "rev_1", "app": "shop", "commit_id": "decaf", "catalog": CATALOG, "passwords": ["users"],
            "created_at": 1.0,
        }
    ],
    "registry_deployments": [
        {
            "seq": 1, "id": "d_1", "app": "shop", "cause": "rollback", "status": "live", "pinned": "decaf",
            "commit_id": "decaf", "revision": "rev_1", "errors": [], "warnings": [], "reported_warnings": [],
            "created_at": 1.0, "live_at": 2.0,
        }
    ],
    "registry_removals": [{"app": "old", "since": 1.0}, {"app": "gone", "since": 2.0}],
    "scheduler_runs": [
        {
            "id": "r_1", "app": "leaf", "pipeline": "train", "user": "alice", "status": "running",
            "plan": RUN_PLAN, "inputs": {}, "outputs": {}, "labels": {}, "priority": 0, "attempt": 1, "version": 4,
            "created_at": 1.0, "started_at": 2.0, "deadline": 4e9,
        }
    ],
    "scheduler_tasks": [
        {
            "id": "t_1", "kind": "stage", "app": "leaf", "run": "r_1", "name": "prepare", "replica": 0,
            "fingerprint": "", "resource_class": "cpu", "priority": 0, "state": "claimed", "spec": {}, "attempt": 3,
            "lost": 2, "failures": 0, "token": 3, "worker": "w_1", "lease_until": 9.0, "rung_at": 5.0, "stop": True,
            "stop_after": 6.0, "created_at": 1.0,
        },
        {
            "id": "t_2", "kind": "stage", "app": "leaf", "run": "r_1", "name": "fit", "replica": 1,
            "fingerprint": "", "resource_class": "cpu", "priority": 0, "state": "ready", "spec": {}, "attempt": 0,
            "lost": 0, "failures": 0, "token": 0, "rung_at": 5.0, "stop": False, "created_at": 1.0,
        },
    ],
    "scheduler_scales": [
        {
            "app": "leaf", "component": "echo", "bounds": BOUNDS, "replicas": 2, "enough": 1,
            "quiet_since": 8.0,
        }
    ],
    "scheduler_loads": [{"app": "leaf", "component": "echo", "gateway": "g_1", "load": 1.5, "at": 9.0}],
    "scheduler_leaders": [{"name": "loops", "owner": "one", "until": 4e9}],
    "scheduler_callbacks": [
        {
            "run": "r_1", "app": "leaf", "user": "alice", "spec": CALLBACK, "told": EVENTS,
            "version": 3, "open": True,
        }
    ],
    "scheduler_deliveries": [
        {
            "id": "e_1", "run": "r_1", "event": "running", "body": "{}", "state": "pending", "tries": TRIES,
            "next_at": 9.0, "created_at": 1.0,
        }
    ],
    "scheduler_marks": [
        {"run": "r_0", "app": "leaf", "at": 5.0, "left": CLEANUP},
        {"run": "r_a", "app": "leaf", "at": 4.0, "left": CLEANUP},
        {"run": "r_b", "app": "leaf", "at": 3.0},
    ],
    "scheduler_cache": [
        {
            "app": "leaf", "key": "k_1", "run": "r_1", "stage": "prepare", "token": 3, "outputs": {"table": 1},
            "created_at": 1.0,
        }
    ],
    "scheduler_reuses": [{"source": "r_a", "run": "r_1"}],
    "scheduler_submissions": [
        {
            "app": "leaf", "user": "alice", "path": "train", "key": "order-1", "body": "5ec2e7", "run": "r_1",
            "created_at": 1.0,
        }
    ],
}  # fmt: skip
