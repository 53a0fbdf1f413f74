"""Seal: keeps what is stored confidential and unforgeable.

AES-256-GCM with a key derived from the installation's signing key. What a sealed value is for is part of the seal, so a
value moved under another name does not open.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tiphys.runtime.secret import Secret

_NONCE_BYTES = 12
_VERSION = b"\x01"


class BrokenSealError(ValueError):
    """A sealed value was changed, moved, or sealed with another key."""


class Seal:
    """Seals and opens bytes. `random_bytes` gives that many unguessable bytes (`os.urandom`)."""

    def __init__(self, key: Secret, *, random_bytes: Callable[[int], bytes]) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tiphys store").derive(key.reveal().encode())
        self._cipher = AESGCM(derived)
        self._random_bytes = random_bytes

    def seal(self, content: bytes, purpose: str) -> bytes:
        """`content` sealed for `purpose`."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, content, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The content of a sealed value. Raises BrokenSealError."""
        if sealed[:1] != _VERSION:
            raise BrokenSealError("the value was not sealed by this version")
        nonce, content = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, content, purpose.encode())
        except (InvalidTag, ValueError):
            raise BrokenSealError("the value was changed or sealed with another key") from None
