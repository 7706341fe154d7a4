from __future__ import annotations

import subprocess

import pytest

from services.registry.git.ref_names import is_valid_ref

NAMES = [
    "main", "feature/leaf-scan", "v1.0", "über", "a@b", "@", "-x", "a.lockx", "lock", "{", "a}", "a,b;c&d|e'\"$",
    "日本", "a\nb", "a\n", "a\rb", "a\tb", "a\x01b", "a\x7f", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b",
    "a..b", "a@{1}", "a//b", "a/", "/a", "a.", ".a", "a/.b", "a.lock", "a.lock/b", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_git_refuses_as_a_name_is_refused(name: str) -> None:
    ref = f"refs/heads/{name}"
    checked = subprocess.run(["git", "check-ref-format", ref], check=False)
    assert is_valid_ref(ref) is (checked.returncode == 0)


def test_a_name_must_be_utf_8() -> None:
    assert not is_valid_ref(b"refs/heads/\xff".decode(errors="surrogateescape"))
