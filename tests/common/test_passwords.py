"""The hasher of passwords."""

from __future__ import annotations

import pytest
from argon2.exceptions import VerifyMismatchError

from libs.common.passwords import DUMMY_HASH, HASHER


def test_the_dummy_hash_costs_as_much_as_others_and_matches_no_password() -> None:
    assert not HASHER.check_needs_rehash(DUMMY_HASH)
    with pytest.raises(VerifyMismatchError):
        HASHER.verify(DUMMY_HASH, "")
