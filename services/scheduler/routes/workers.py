"""Claim, sync, report: the routes of workers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.scheduler import claims, heartbeat, leases
from services.scheduler.routes.parts import TheParts

router = APIRouter(prefix="/internal")


@router.post("/claims")
async def claim(parts: TheParts, asked: claims.Claim) -> dict[str, Any]:
    return await claims.claim(parts, asked)


@router.post("/workers/{worker}/sync")
async def sync(parts: TheParts, worker: str, said: heartbeat.Sync) -> dict[str, Any]:
    return await heartbeat.sync(parts, worker, said)


@router.post("/tasks/{task}/reuse")
async def reuse(parts: TheParts, task: str, made: leases.Made) -> dict[str, bool]:
    return {"reused": await leases.reuse(parts, task, made)}


@router.post("/tasks/{task}/report")
async def report(parts: TheParts, task: str, said: leases.LastWord) -> dict[str, bool]:
    await leases.report(parts, task, said)
    return {"accepted": True}
