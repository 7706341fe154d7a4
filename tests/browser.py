"""A real browser: Debian's Chromium, driven by Playwright, which lives in an environment of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers import provision

PLAYWRIGHT = "playwright==1.65.2"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def run_chromium() -> Iterator[Any]:
    """A running browser (`playwright.sync_api.Browser`). Raises Missing."""
    program = provision.program("chromium")
    if program is None:
        provision.apt("chromium")
        program = provision.program("chromium")
    python = provision.environment("browser", PLAYWRIGHT)
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    sys.path.append(str(packages))
    try:
        from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]  # installed above

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(program), args=OPTIONS)
            try:
                yield browser
            finally:
                browser.close()
    finally:
        sys.path.remove(str(packages))
