"""How a service's process uses its memory: the cyclic garbage collector, and the C library's allocator."""

from __future__ import annotations

import ctypes
import gc

GC_THRESHOLDS = (10_000, 20, 50)
"""Thresholds of the cyclic garbage collector."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt`; source: malloc.h of glibc."""
TRIM_THRESHOLD_BYTES = 16 << 20
"""So much free memory at the end of a heap goes back to the system."""
MMAP_THRESHOLD_BYTES = 4 << 20
"""A larger block has pages of its own, which go back to the system when it is freed."""


def tune_memory() -> None:
    """Called once, when the process has imported and started everything."""
    tune_garbage_collector()
    tune_allocator()


def tune_garbage_collector() -> None:
    """Freeze start-up objects and run the cyclic collector rarely: requests create almost no cycles.

    A full collection takes as long as a hundred requests.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def tune_allocator() -> None:
    """Return large blocks to the system when they are freed. No-op where the C library has no `mallopt`.

    By itself glibc raises its thresholds to the largest block that was ever freed, and each thread that hashes a
    password (7 MB) then holds so much for ever.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
