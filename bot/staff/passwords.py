"""Passwords: argon2id hashes, the policy, and a comparison that takes the same time for unknown names."""

from __future__ import annotations

import re
import secrets
import string
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bot.errors import HotlineError, Problem

# RFC 9106's second recommended option: 64 MiB, three passes. One lane, as the desk checks one at a time.
HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
LENGTH = range(12, 129)
# What people put where three classes are asked for; compared without case and without what is appended.
COMMON = (
    "password", "passw0rd", "p@ssw0rd", "p@ssword", "admin", "administrator", "qwerty", "1qaz2wsx", "q1w2e3r4",
    "welcome", "letmein", "iloveyou", "woaini", "zhibantai", "jilin", "hotline", "mima", "changchun",
)  # fmt: skip


def check_policy(username: str, password: str) -> None:
    """Raises `HotlineError` WEAK_PASSWORD: 12 to 128 characters, three of four classes, not the user's name, no
    common word with digits or signs around it, at least six different characters."""
    plain = password.lower()
    classes = [
        any(c.isupper() for c in password),
        any(c.islower() for c in password),
        any(c.isdigit() for c in password),
        any(not c.isalnum() for c in password),
    ]
    core = re.sub(r"^[^a-z]+|[^a-z]+$", "", plain)
    trimmed = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    if (
        len(password) not in LENGTH
        or sum(classes) < 3
        or username.lower() in plain
        or len(set(password)) < 6
        or any(word in (core, trimmed) for word in COMMON)
    ):
        raise HotlineError(Problem.WEAK_PASSWORD)


def hash_password(password: str) -> str:
    """The argon2id hash with its own salt and parameters."""
    return HASHER.hash(password)


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password fits; without a hash the same work is done and the answer is no."""
    try:
        right = HASHER.verify(password_hash or _decoy(), password[: LENGTH.stop])
    except (VerificationError, InvalidHashError):
        return False
    return right and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(password_hash)


def generate() -> str:
    """A password that fits the policy: 20 characters of three classes, about 115 bits."""
    alphabet = "".join(set(string.ascii_letters + string.digits) - set("0O1lI"))
    while True:
        made = "".join(secrets.choice(alphabet) for _ in range(20))
        if (
            any(c.isupper() for c in made)
            and any(c.islower() for c in made)
            and any(c.isdigit() for c in made)
        ):
            return made


@lru_cache(maxsize=1)
def _decoy() -> str:
    return HASHER.hash(secrets.token_urlsafe(16))
