"""Keyed pseudonyms for learners: one id under one key is always the same text, with no way back without it.

p1_<8 hex digits that identify the key>_<32 hex digits of HMAC-SHA256(key, id)>
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from smartlearn.core.errors import SettingsError
from smartlearn.core.text_columns import is_pseudonym

KEY_BYTES = 32
"""How long a new key is."""

SHORTEST_KEY_BYTES = 16
"""Below it a key can be guessed, and with it every id."""


class Pseudonymizer:
    """Turns user ids into pseudonyms under one key. May be used from several threads."""

    def __init__(self, key: bytes) -> None:
        """Take a key.

        Raises:
            SettingsError: the key is too short.
        """
        if len(key) < SHORTEST_KEY_BYTES:
            raise SettingsError(
                f"the pseudonym key has {len(key)} bytes and needs at least {SHORTEST_KEY_BYTES}: "
                "make a new one, or copy the key of another node"
            )
        prefix = f"p1_{hashlib.sha256(b'smartlearn key id' + key).hexdigest()[:8]}_"
        state = hmac.new(key, digestmod=hashlib.sha256)

        @lru_cache(maxsize=1 << 14)
        def pseudonym(user_id: str) -> str:
            digest = state.copy()
            digest.update(user_id.encode("utf-8", "surrogatepass"))
            return prefix + digest.hexdigest()[:32]

        self._prefix = prefix
        self._pseudonym = pseudonym

    @property
    def key_id(self) -> str:
        """The 8 hex digits that identify the key in its pseudonyms."""
        return self._prefix[3:-1]

    def of(self, user_id: str) -> str:
        """The pseudonym of a user id; what is a pseudonym already, of whatever key, passes unchanged."""
        return user_id if is_pseudonym(user_id) else self._pseudonym(user_id)


def load_key(path: Path, *, create: bool) -> bytes:
    """Read a pseudonym key; make one, readable by its owner only, where there is none and `create` says so.

    Processes that create at the same time get the same key: the first one's.

    Raises:
        SettingsError: there is no key and none is to be made, or the file cannot be read, or is too short.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        if not create:
            raise SettingsError(
                f"there is no pseudonym key at {path}: copy the one that the other nodes use there, "
                "or name its file in SMARTLEARN_PRIVACY__KEY_FILE"
            ) from None
        key = _create(path)
    except OSError as error:
        raise SettingsError(f"the pseudonym key {path} cannot be read: {error.strerror}") from error
    if len(key) < SHORTEST_KEY_BYTES:
        raise SettingsError(
            f"the pseudonym key {path} has {len(key)} bytes and needs at least {SHORTEST_KEY_BYTES}: "
            "copy the key of another node there, or remove the file to have a new one made"
        )
    return key


def _create(path: Path) -> bytes:
    """Put a whole new key in place, unless another process was first; return the key that stands."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            _claim(temporary, path)
        finally:
            temporary.unlink()
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"the pseudonym key {path} cannot be made: {error.strerror}") from error


def _claim(temporary: Path, path: Path) -> None:
    """Link a finished file to its name, unless another process was first."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
