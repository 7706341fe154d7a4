"""The password hasher: registry hashes new passwords; gateway verifies those of apps, registry those of people."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1, hash_len=32, salt_len=16)
"""The smallest memory of argon2id in OWASP's Password Storage Cheat Sheet (7 MiB, 5 passes; about 15 ms): a gateway
verifies passwords while it serves traffic."""
DUMMY_HASH = "$argon2id$v=19$m=7168,t=5,p=1$96Q2AIkxHFiO1cVG2TGVag$YqYHPaXMAuhOCPAj6G6RxIwzT9xX6u+o98h9id0w1WE"
"""Of no account. A check against it takes as long as one of a user who exists."""


def verify_hash(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
