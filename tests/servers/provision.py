"""How a program comes onto this machine: it is there, or apt (as root) or Go brings it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import places

INSTALL_TIMEOUT_S = 900.0
GO_TOOLCHAIN = "go1.26.0"  # brought by Go itself when the installed one is older than a module needs
POLICY = Path("/usr/sbin/policy-rc.d")


class Missing(Exception):
    """A part that could not be had; the message says why."""


def program(name: str, *also_in: str) -> Path | None:
    """The newest one: on PATH, among what Go and we installed, or in one of Debian's folders (globs)."""
    folders = [path for pattern in also_in for path in sorted(map(str, Path("/").glob(pattern.lstrip("/"))))[::-1]]
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), str(places.cache() / "bin"), *_go_folders()])
    found = shutil.which(name, path=f"{path}:/usr/sbin:/sbin")
    return Path(found) if found else None


def apt(*packages: str) -> None:
    """Installs Debian packages without starting what they bring: we run private instances."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"not installed, and only root on Debian or Ubuntu can install {' '.join(packages)}")
    tell(f"installing {' '.join(packages)}")
    with places.locked("apt"), _no_service_starts():
        if _run_apt("install", *packages).returncode:
            _run_apt("update")
            done = _run_apt("install", *packages)
            if done.returncode:
                raise Missing(f"apt-get could not install {' '.join(packages)}:\n{done.stdout[-2_000:]}")


def go_install(package: str, version: str, name: str) -> Path:
    """Builds a Go program into the cache; the first time takes a minute or two."""
    target = places.cache() / "bin" / f"{name}-{version}"
    with places.locked(name):
        if not target.exists():
            tell(f"building {name}")
            _go_build(f"{package}@{version}", target)
    return target


def environment(name: str, *packages: str) -> Path:
    """The Python of an environment of its own with these packages, made once and kept in the cache."""
    folder = places.cache() / "environments" / name
    python = folder / "bin" / "python"
    with places.locked(f"environment-{name}"):
        if not (folder / "complete").exists():
            tell(f"installing {' '.join(packages)}")
            shutil.rmtree(folder, ignore_errors=True)
            for command in (
                [sys.executable, "-m", "virtualenv", "--quiet", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", *packages],
            ):
                done = _run(command, dict(os.environ))
                if done.returncode:
                    raise Missing(f"{name} cannot be installed: {done.stdout.strip()[-300:]}")
            (folder / "complete").touch()
    return python


def tell(sentence: str) -> None:
    """Progress, past pytest's capturing."""
    print(f"servers: {sentence}", file=sys.__stderr__, flush=True)


def _go_build(package: str, target: Path) -> None:
    scratch = target.parent / f"{target.name}.{os.getpid()}"
    environ = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(scratch), "GOTOOLCHAIN": "auto"}
    try:
        done = _run([str(_go()), "install", "-buildvcs=false", package], environ)
        if done.returncode != 0:
            raise Missing(f"go install {package}: {done.stdout.strip()[-300:]}")
        (built,) = scratch.iterdir()
        built.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _go() -> Path:
    """A Go that builds today's modules: since 1.21 Go fetches the version that a module asks for."""
    go = program("go", "/usr/local/go/bin")
    if go is None:
        apt("golang-go", "ca-certificates")
        go = program("go")
    if go is None:
        raise Missing("Go is not installed")
    version = _go_env(go, "GOVERSION").removeprefix("go")
    return go if tuple(map(int, version.split(".")[:2])) >= (1, 21) else _newer_go(go)


def _newer_go(old: Path) -> Path:
    """Go is published as a Go module, too; an older one only does not know that it may run it."""
    platform = f"{_go_env(old, 'GOOS')}-{_go_env(old, 'GOARCH')}"
    module = f"golang.org/toolchain@v0.0.1-{GO_TOOLCHAIN}.{platform}"
    folder = Path(_go_env(old, "GOMODCACHE")) / module
    tell(f"fetching {GO_TOOLCHAIN}")
    done = _run([str(old), "mod", "download", module], dict(os.environ))
    if done.returncode != 0:
        raise Missing(f"go mod download {module}: {done.stdout.strip()[-300:]}")
    for file in [*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")]:
        file.chmod(0o755)
    return folder / "bin" / "go"


def _go_env(go: Path, name: str) -> str:
    return subprocess.run([go, "env", name], capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def _go_folders() -> list[str]:
    gopath = os.environ.get("GOPATH") or str(Path.home() / "go")
    return [f"{gopath}/bin"]


def _run_apt(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Waits for another that installs; what could not be fetched is asked for again."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    return _run(["apt-get", "-y", "-q", "--no-install-recommends", *options, *arguments], environ)


def _run(command: list[str], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_TIMEOUT_S
    )


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's own switch for installing a server without starting it."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
