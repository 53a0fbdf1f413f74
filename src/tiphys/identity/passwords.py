"""Passwords: hash, check, generate, and whether a new one is good enough.

Hashing takes a tenth of a second of CPU by design: call it in a thread.
"""

from __future__ import annotations

import re

import bcrypt

from tiphys.runtime.ids import Ids
from tiphys.runtime.secret import Secret

_MAX_BYTES = 72  # bcrypt reads no further; longer ones are refused rather than silently cut
_GENERATED_LENGTH = 16

# Checked against when an account does not exist, so that the answer takes as long as for one that does.
DUMMY_HASH = Secret("$2b$10$CwTycUXWue0Thq9StjUM0uJ8i0m6Q4W5kIgeTuFq0Yl3oPfy0yBl2")


def hash_password(password: Secret, *, rounds: int = 10) -> str:
    """bcrypt hash of a password. Raises ValueError above 72 bytes."""
    text = password.reveal().encode()
    if len(text) > _MAX_BYTES:
        raise ValueError(f"a password has at most {_MAX_BYTES} bytes")
    return bcrypt.hashpw(text, bcrypt.gensalt(rounds)).decode()


def check_password(password: Secret, password_hash: Secret) -> bool:
    """Whether a password belongs to a bcrypt hash; False also for what is no hash."""
    text = password.reveal().encode()
    if len(text) > _MAX_BYTES:
        return False
    try:
        return bcrypt.checkpw(text, password_hash.reveal().encode())
    except ValueError:
        return False


def generate_password(ids: Ids) -> Secret:
    """A password nobody can guess, of letters, digits, dash and underscore."""
    return Secret(ids.token(32)[:_GENERATED_LENGTH])


def is_acceptable(password: Secret, pattern: str) -> bool:
    """Whether a new password matches passwordPattern; one that cannot be read as a pattern accepts nothing."""
    try:
        return re.search(pattern, password.reveal()) is not None
    except re.error:
        return False
