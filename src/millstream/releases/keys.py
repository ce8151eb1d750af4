"""Signing keys: Ed25519, the private one readable by its owner only, every public one kept, revoked ones listed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from millstream.disk import sync
from millstream.errors import IntegrityError, NotFound, Refused, near

_PRIVATE = "signing.key"
_PUBLIC = "public"
_REVOKED = "revoked"
_SIGNATURE = re.compile(rb"ed25519 ([0-9a-f]{16}) ([0-9a-f]{128})\n")
_REVOKED_LINE = re.compile(r"([0-9a-f]{16})(?: .*)?")


def sign(keys: Path, message: bytes) -> bytes:
    """Sign exact bytes; a key is made at first use and whenever the last one was revoked.

    Returns
    -------
    bytes
        One line: algorithm, key id, signature in hex.

    Raises
    ------
    Refused
        When others may read the private key.
    """
    private = _private(keys)
    if _key_id(private.public_key()) in revoked(keys):
        (keys / _PRIVATE).rename(keys / f"{_PRIVATE}.revoked-{secrets.token_hex(4)}")
        private = _private(keys)
    public = private.public_key()
    return f"ed25519 {_key_id(public)} {private.sign(message).hex()}\n".encode()


def check(keys: Path, message: bytes, signature: bytes, *, where: str) -> str:
    """Check a signature against the kept public keys; return the key's id.

    Raises
    ------
    IntegrityError
        When it is not a signature, its key is unknown or revoked, or the bytes were changed.
    """
    read = _SIGNATURE.fullmatch(signature)
    if read is None:
        raise IntegrityError(f"{where} is not a signature", expected="ed25519, a key and 64 bytes", do=_RESTORE)
    key_id = read[1].decode()
    if key_id in revoked(keys):
        raise IntegrityError(
            f"{where} was made with key {key_id}, which is revoked",
            expected="a signature by a key in force",
            do="build the release again: millstream release MODEL",
        )
    try:
        raw = bytes.fromhex((keys / _PUBLIC / f"{key_id}.pub").read_text(encoding="ascii").strip())
        public = Ed25519PublicKey.from_public_bytes(raw)
    except FileNotFoundError:
        known = sorted(each.stem for each in (keys / _PUBLIC).glob("*.pub"))
        raise IntegrityError(
            f"{where} was made with key {key_id}, which is not known here",
            expected=f"one of {', '.join(known) or 'no keys at all'}",
            do=_RESTORE,
        ) from None
    except ValueError:
        raise IntegrityError(f"{keys / _PUBLIC / key_id}.pub is not a public key", do=_RESTORE) from None
    if _key_id(public) != key_id:
        raise IntegrityError(f"{keys / _PUBLIC / key_id}.pub holds another key than its name says", do=_RESTORE)
    try:
        public.verify(bytes.fromhex(read[2].decode()), message)
    except InvalidSignature:
        raise IntegrityError(
            f"{where} does not fit release.json: one of the two was changed", expected="the signed bytes", do=_RESTORE
        ) from None
    return key_id


def revoke(keys: Path, key_id: str, *, reason: str) -> None:
    """Trust nothing that this key signed from now on; releases it signed can no longer be opened.

    Raises
    ------
    NotFound
        When there is no such key.
    """
    known = {each.stem for each in (keys / _PUBLIC).glob("*.pub")}
    if key_id not in known:
        raise NotFound(f"there is no key {key_id}", do=near(key_id, known))
    with (keys / _REVOKED).open("a", encoding="utf-8") as file:
        file.write(f"{key_id} {' '.join(reason.split())}\n")
        file.flush()
        os.fsync(file.fileno())


def revoked(keys: Path) -> frozenset[str]:
    """Return the ids of revoked keys.

    Raises
    ------
    IntegrityError
        When the list cannot be read as one: nothing is trusted then.
    """
    try:
        lines = (keys / _REVOKED).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except UnicodeDecodeError:
        lines = ["not text"]
    found = [_REVOKED_LINE.fullmatch(line) for line in lines if line.strip()]
    if not all(found):
        raise IntegrityError(
            f"{keys / _REVOKED} cannot be read, so no signature can be trusted",
            expected="a key id and a reason on each line",
            do="restore the file",
        )
    return frozenset(each[1] for each in found if each)


_RESTORE = "millstream restore, or build the release again"


def _private(keys: Path) -> Ed25519PrivateKey:
    path = keys / _PRIVATE
    if not path.exists():
        _make(keys)
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others", expected="mode 0600", do=f"chmod 600 {path}")
    try:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except ValueError:
        raise IntegrityError(
            f"{path} is not a signing key",
            expected="64 hexadecimal digits",
            do="restore the file; or move it away: a new key is made, and what the old one signed stays valid",
        ) from None
    _write_public(keys, private.public_key())
    return private


def _make(keys: Path) -> None:
    """Make a key; of two processes that do so at once, one's is kept."""
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = keys / f".new-{secrets.token_hex(8)}"
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(Ed25519PrivateKey.generate().private_bytes_raw().hex())
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(scratch, keys / _PRIVATE)
    scratch.unlink()
    sync(keys)


def _write_public(keys: Path, public: Ed25519PublicKey) -> None:
    path = keys / _PUBLIC / f"{_key_id(public)}.pub"
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    scratch = path.with_name(f".new-{secrets.token_hex(8)}")
    with scratch.open("w", encoding="ascii") as file:
        file.write(public.public_bytes_raw().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync(path.parent)


def _key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]
