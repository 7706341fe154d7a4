"""What five idle services in one process cost: memory and share of a core, as ratios of their limits.

`python -m benchmarks.idle`: exit code 1 when a ratio is above 1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEMORY_LIMIT_MB = 150.0
CPU_LIMIT = 0.02
"""Share of one core."""
START_TIMEOUT_S = 60.0
SETTLE_S = 5.0
MEASURED_S = 20.0
MLMESH = Path(sys.executable).parent / "mlmesh"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MLMESH_")}
        command = [str(MLMESH), "up", "--port", "0", "--data", f"{folder}/data"]
        with subprocess.Popen(
            command,
            env={**environ, "XDG_CONFIG_HOME": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as mesh:
            try:
                return report(*measured(mesh))
            finally:
                mesh.send_signal(signal.SIGTERM)


def measured(mesh: subprocess.Popen[str]) -> tuple[float, float, float]:
    """Seconds until ready, megabytes, share of a core."""
    began = time.monotonic()
    if mesh.stdout is None or not mesh.stdout.readline().startswith("ready "):
        raise SystemExit("mlmesh up did not become ready")
    ready = time.monotonic() - began
    time.sleep(SETTLE_S)
    before = cpu_seconds(mesh.pid)
    time.sleep(MEASURED_S)
    return ready, memory_mb(mesh.pid), (cpu_seconds(mesh.pid) - before) / MEASURED_S


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(ready: float, memory: float, cpu: float) -> int:
    ratios = {"memory": memory / MEMORY_LIMIT_MB, "cpu": cpu / CPU_LIMIT}
    print(f"idle mesh: ready after {ready:.1f} s")
    print(f"memory {memory:6.1f} MB of {MEMORY_LIMIT_MB:.0f} MB: ratio {ratios['memory']:.2f}")
    print(f"cpu    {cpu:6.2%} of {CPU_LIMIT:.0%} of a core: ratio {ratios['cpu']:.2f}")
    return int(max(ratios.values()) > 1)


if __name__ == "__main__":
    sys.exit(main())
