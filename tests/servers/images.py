"""Images for tests where no image registry can be reached: a Debian with Python, imported from debootstrap's folder."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.engine import Engine
from tests.servers.places import cache, locked
from tests.servers.provision import Missing, apt, program, tell

PYTHON_IMAGE = "mlmesh-test/python:1"
OFFICIAL = "python:3.12-slim"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,python3-numpy,python-is-python3,ca-certificates"
BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
BUILD_TIMEOUT_S = 900.0
PIP_CONFIGURATION = f"[global]\ncert = /{BUNDLE}\nbreak-system-packages = true\n"


def python_image(engine: Engine) -> str:
    """The name of an image with CPython, pip and numpy; it trusts what this machine trusts."""
    given = os.environ.get("MLMESH_TEST_PYTHON_IMAGE")
    if given and engine.has_image(given):
        return given
    with locked("image"):
        if not engine.has_image(PYTHON_IMAGE, _recipe()):
            _import(engine)
    return PYTHON_IMAGE


def module_image(engine: Engine, name: str, folder: Path) -> str:
    """The image of a module, from its own Dockerfile on our Python image; the engine's build cache makes it quick."""
    base = python_image(engine)
    tell(f"building {name}")
    with locked(lock_name(name)):
        engine.run("build", "--quiet", "--tag", name, "--build-arg", f"BASE={base}", str(folder))
    return name


def lock_name(image: str) -> str:
    return f"image-{image.translate(str.maketrans('/:', '--'))}"


def _import(engine: Engine) -> None:
    try:
        tarball = _tarball()
    except Missing as missing:
        tell(f"no debootstrap ({missing}); trying {OFFICIAL}")
        engine.run("pull", OFFICIAL)
        engine.run("tag", OFFICIAL, PYTHON_IMAGE)
        return
    with tarball.open("rb") as file:
        engine.run("import", "--change", f"LABEL mlmesh.recipe={_recipe()}", "-", PYTHON_IMAGE, input_file=file)


def _recipe() -> str:
    """Changes with what the image is made of."""
    host_bundle = Path("/") / BUNDLE
    parts = [SUITE, PACKAGES, PIP_CONFIGURATION, host_bundle.read_text() if host_bundle.exists() else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _tarball() -> Path:
    target = cache() / f"python-{_recipe()}.tar"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            root = Path(folder) / "root"
            _bootstrap(root)
            _trust_what_the_host_trusts(root)
            half = Path(folder) / "image.tar"
            subprocess.run(["tar", "-C", root, "-cf", half, "."], check=True, timeout=BUILD_TIMEOUT_S)
            half.rename(target)
    return target


def _bootstrap(root: Path) -> None:
    if os.getuid() != 0:
        raise Missing("debootstrap needs root")
    if program("debootstrap") is None:
        apt("debootstrap", "debian-archive-keyring")
    tell(f"making {PYTHON_IMAGE} with debootstrap")
    command = [str(program("debootstrap")), "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode != 0:
        raise Missing(f"debootstrap: {done.stdout.strip()[-300:]}")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


def _trust_what_the_host_trusts(root: Path) -> None:
    bundle = Path("/") / BUNDLE
    if bundle.exists():
        shutil.copy(bundle, root / BUNDLE)
    (root / "etc/pip.conf").write_text(PIP_CONFIGURATION)
