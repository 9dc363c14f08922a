"""WeChat's envelope: signatures and the safe mode (安全模式) of an official account.

SHA-1 over the sorted parts and AES-256-CBC with its key's head as IV are the protocol's, not ours; they prove who
calls, and nothing of ours rests on them. docs/adr/0007-wechat-crypto.md says why this is not wechatpy.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from bot.errors import HotlineError, Problem

BLOCK = 32  # WeChat pads to 32 bytes, not to AES' 16.
RANDOM = 16  # bytes of noise in front of the length


def signature(*parts: str) -> str:
    """SHA-1 over the sorted parts, hexadecimal."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def parse_xml(body: bytes) -> dict[str, str]:
    """The texts of the first level. Raises `HotlineError` (422) for anything but a small flat document."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        # LookupError: an encoding that nobody has.
        raise HotlineError(Problem.MALFORMED) from None
    return {child.tag: child.text or "" for child in root}


def to_xml(fields: Mapping[str, str]) -> str:
    """`<xml>` with one element a field."""
    root = Element("xml")
    for name, value in fields.items():
        # What XML 1.0 cannot hold would make the whole answer unreadable.
        SubElement(root, name).text = "".join(c for c in value if c in "\n\t" or c >= " ")
    return tostring(root, encoding="unicode")


@dataclass(frozen=True)
class Envelope:
    """One official account; an empty `aes_key` (EncodingAESKey, 43 characters) means plain mode (明文模式)."""

    token: str
    app_id: str
    aes_key: str = ""

    @property
    def _key(self) -> bytes:
        return base64.b64decode(f"{self.aes_key}=")

    def check(self, query: Mapping[str, str]) -> None:
        """Raises `HotlineError` (403) unless `signature` fits token, timestamp and nonce."""
        wanted = signature(self.token, query.get("timestamp", ""), query.get("nonce", ""))
        if not hmac.compare_digest(query.get("signature", "").encode(), wanted.encode()):
            raise HotlineError(Problem.BAD_SIGNATURE)

    def open(self, query: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The fields of a message of WeChat's; raises `HotlineError`: 403 not WeChat's, 422 not a message."""
        if not self.aes_key:
            self.check(query)
            return parse_xml(body)
        # With a key set, a plain message is refused: plain mode signs no body.
        sealed = parse_xml(body).get("Encrypt", "")
        wanted = signature(self.token, query.get("timestamp", ""), query.get("nonce", ""), sealed)
        if not sealed or not hmac.compare_digest(query.get("msg_signature", "").encode(), wanted.encode()):
            raise HotlineError(Problem.BAD_SIGNATURE)
        return parse_xml(self.decrypt(sealed))

    def seal(self, fields: Mapping[str, str], timestamp: int) -> str:
        """An answer as WeChat wants it: plain XML, or the same encrypted and signed."""
        plain = to_xml(fields)
        if not self.aes_key:
            return plain
        sealed, nonce = self.encrypt(plain.encode()), secrets.token_hex(8)
        return to_xml(
            {
                "Encrypt": sealed,
                "MsgSignature": signature(self.token, str(timestamp), nonce, sealed),
                "TimeStamp": str(timestamp),
                "Nonce": nonce,
            }
        )

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))

    def encrypt(self, plain: bytes) -> str:
        """Noise, length, text, AppID; padded; base64."""
        data = os.urandom(RANDOM) + struct.pack(">I", len(plain)) + plain + self.app_id.encode()
        pad = BLOCK - len(data) % BLOCK
        worker = self._cipher().encryptor()
        return base64.b64encode(worker.update(data + bytes([pad]) * pad) + worker.finalize()).decode()

    def decrypt(self, sealed: str) -> bytes:
        """What `encrypt` sealed for this AppID; raises `HotlineError` (403)."""
        try:
            data = base64.b64decode(sealed, validate=True)
            worker = self._cipher().decryptor()
            data = worker.update(data) + worker.finalize()
            data = data[: -data[-1]] if 1 <= data[-1] <= BLOCK else b""
            (size,) = struct.unpack(">I", data[RANDOM : RANDOM + 4])
        except (binascii.Error, ValueError, IndexError, struct.error):
            raise HotlineError(Problem.BAD_SIGNATURE) from None
        text, app_id = data[RANDOM + 4 : RANDOM + 4 + size], data[RANDOM + 4 + size :]
        if len(text) != size or not hmac.compare_digest(app_id, self.app_id.encode()):
            raise HotlineError(Problem.BAD_SIGNATURE)
        return text
