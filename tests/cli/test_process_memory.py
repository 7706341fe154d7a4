"""What a thread frees goes back to the system."""

from __future__ import annotations

import subprocess
import sys

HASHES = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from libs.common.passwords import HASHER
from services.cli.process_memory import tune_memory
THREADS = 4
together = Barrier(THREADS)
def hash_password(number):
    together.wait()
    HASHER.hash(f"password {number}")
if sys.argv[1] == "tuned":
    tune_memory()
HASHER.hash("first")  # the freed block that glibc would raise its thresholds to
with ThreadPoolExecutor(THREADS) as threads:
    list(threads.map(hash_password, range(THREADS)))
    print(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 10**6)
"""


def test_a_thread_that_hashed_a_password_holds_no_memory_of_it() -> None:
    assert resident_mb("untuned") - resident_mb("tuned") > 7


def resident_mb(how: str) -> int:
    """Of a process whose four threads have hashed a password each."""
    done = subprocess.run([sys.executable, "-c", HASHES, how], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)
