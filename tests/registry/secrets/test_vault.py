"""Secret values at rest."""

import argon2
import pytest

from services.registry.secrets.vault import DecryptionFailed, Vault, hash_password

PLACE = ("leafscan", "users", "alice")


def test_a_value_opens_where_it_was_sealed() -> None:
    vault = Vault("key")
    assert vault.decrypt(*PLACE, vault.encrypt(*PLACE, "sesame ✓")) == "sesame ✓"


def test_one_value_is_never_sealed_alike_twice() -> None:
    vault = Vault("key")
    sealed = vault.encrypt(*PLACE, "sesame")
    assert sealed != vault.encrypt(*PLACE, "sesame")
    assert b"sesame" not in sealed


@pytest.mark.parametrize(
    "place", [("other", "users", "alice"), ("leafscan", "other", "alice"), ("leafscan", "users", "bob")]
)
def test_a_value_opens_nowhere_else(place: tuple[str, str, str]) -> None:
    vault = Vault("key")
    with pytest.raises(DecryptionFailed):
        vault.decrypt(*place, vault.encrypt(*PLACE, "sesame"))


def test_another_secret_key_opens_nothing() -> None:
    with pytest.raises(DecryptionFailed, match="MLMESH_SECRET_KEY"):
        Vault("other key").decrypt(*PLACE, Vault("key").encrypt(*PLACE, "sesame"))


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x01" + b"\0" * 40])
def test_a_damaged_value_is_told_and_not_returned(damage: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        Vault("key").decrypt(*PLACE, damage)


def test_a_verifier_is_argon2id_of_the_password_alone() -> None:
    password_hash = hash_password("sesame")
    assert password_hash.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    assert argon2.PasswordHasher().verify(password_hash, "sesame")
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(password_hash, "Sesame")
