"""Source of uuids and name suffixes, passed in so tests can fix them."""

from __future__ import annotations

import random
import secrets
import uuid
from typing import Protocol

# The letters and digits Kubernetes uses for generated names: no vowels and no look-alikes, so no words appear.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Ids(Protocol):
    """Source of everything that is made up by chance."""

    def uuid(self) -> str:
        """A random uuid in its hyphenated lower-case form."""

    def suffix(self, length: int = 5) -> str:
        """A random name suffix over `SUFFIX_ALPHABET`."""

    def token(self, size_bytes: int = 32) -> str:
        """An unguessable URL-safe text carrying `size_bytes` of randomness."""

    def fraction(self) -> float:
        """A number in [0, 1) for jitter; not for secrets."""


class SystemIds:
    """Ids from the operating system's random source."""

    def uuid(self) -> str:
        """A random uuid."""
        return str(uuid.uuid4())

    def suffix(self, length: int = 5) -> str:
        """A random name suffix."""
        return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(length))

    def token(self, size_bytes: int = 32) -> str:
        """An unguessable text."""
        return secrets.token_urlsafe(size_bytes)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return random.random()  # noqa: S311  # spreads retries, guards nothing
