"""The file of a back-up: a gzipped tar with a manifest, and at its end a seal made with the data key.

The seal is a keyed hash over every byte before it, so that whoever has not the data key can neither change one nor make
a file that passes for one of ours; nothing is unpacked before it is checked. It stands in a gzip member of its own,
which tar passes over: `tar tzf` reads a back-up like any other archive.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.crypto import data_key

FORMAT = 2
MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MARK, _DIGEST = 16, 64  # characters


class BackupError(Exception):
    """A back-up cannot be made or restored; nothing was changed. The message is for the operator."""


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """What the operating system refuses becomes one sentence that says which folder is full or out of reach."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise BackupError(f"There is no room left in {folder}: free some space and try again.") from error
        raise BackupError(f"{error.filename or folder}: {error.strerror or error}") from error


def key_mark() -> str:
    """Tells whether two deployments have the same data key, and nothing about the key."""
    return data_key().keyed_hash("backup", "mark")[:_MARK]


def _member(text: str) -> bytes:
    """A gzip member that holds `text` as it is (RFC 1952, RFC 1951 section 3.2.4): no bit of it is left to chance."""
    data = text.encode("ascii")
    stored = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF) + data
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + stored + struct.pack("<II", zlib.crc32(data), len(data))


_SEAL_BYTES = len(_member("0" * (_MARK + _DIGEST)))
_TEXT_AT = len(_member("")) - 8


def _digest(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length and (block := file.read(min(length, 1 << 20))):
            digest.update(block)
            length -= len(block)
    return data_key().keyed_hash("backup-file", digest.hexdigest())


def seal(path: Path) -> None:
    """Put the seal behind what is in the file, and all of it on the disk."""
    member = _member(key_mark() + _digest(path, path.stat().st_size))
    with path.open("ab") as file:
        file.write(member)
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, facts: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Write `files` under their names and the manifest to `path`, mode 600, sealed; the manifest."""
    manifest = {**facts, "format": FORMAT}
    data = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as tar:
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
        for name, file in files.items():
            tar.add(file, name)
    seal(path)
    return manifest


def _check_seal(path: Path) -> None:
    length = path.stat().st_size - _SEAL_BYTES
    with path.open("rb") as file:
        file.seek(max(length, 0))
        found = file.read()
    mark = found[_TEXT_AT : _TEXT_AT + _MARK].decode("ascii", "replace")
    # Told apart from damage only when all the rest of the seal has its form.
    text = found[_TEXT_AT : _TEXT_AT + _MARK + _DIGEST].decode("ascii", "replace")
    if length <= 0 or found != _member_or_none(text):
        raise BackupError(f"{path} is no back-up, or a damaged one: it has no seal.")
    if mark != key_mark():
        raise BackupError("This back-up was made with another data key: put that key in place first.")
    if not hmac.compare_digest(text[_MARK:], _digest(path, length)):
        raise BackupError(f"{path} is damaged or was changed: its seal does not fit.")


def _member_or_none(text: str) -> bytes | None:
    return _member(text) if text.isascii() else None


def read(path: Path, folder: Path) -> dict[str, Any]:
    """Check a back-up and unpack it into `folder`; its manifest. Raises `BackupError`."""
    if not path.is_file():
        raise BackupError(f"There is no file {path}.")
    with room(path):
        _check_seal(path)
    try:
        with room(folder.parent), tarfile.open(path) as tar:
            tar.extractall(folder, filter="data")
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise BackupError(f"{path} is no back-up: {error}") from error
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{path} has format {manifest.get('format')!r}; this version reads {FORMAT}.")
    return manifest
