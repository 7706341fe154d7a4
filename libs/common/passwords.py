"""How passwords are hashed: by registry when they are set, by the gateway when somebody shows one."""

from __future__ import annotations

from argon2 import PasswordHasher

HASHER = PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1, hash_len=32, salt_len=16)
"""The least memory that OWASP's Password Storage Cheat Sheet names for argon2id (7 MiB, 5 passes; about 15 ms):
a gateway verifies with it beside its traffic."""
