"""Encryption at rest, keyed hashes and masks for personal data.

个人信息保护法 Art 51 asks for encryption and de-identification, Art 6 for as little data as possible. One
32-byte data key per deployment; every use takes its own subkey from it (HKDF-SHA256), so that a phone hash
can never serve as a key for text. A sealed value begins with one version byte: another cipher (SM4-GCM for
a deployment under 密评) becomes another version, and old rows stay readable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import stat
import tempfile
import unicodedata
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from stdnum import luhn
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError

from bot.settings import Settings, settings

KEY_BYTES = 32


class CryptoError(Exception):
    """Base of all errors of this module; the message is for the operator."""


class KeyProblem(CryptoError):
    """The data key is missing, malformed or readable by others."""


class Tampered(CryptoError):
    """A sealed value is damaged, was moved to another column, or belongs to another key."""


class Cipher(Protocol):
    """An authenticated cipher behind one version byte."""

    label: str
    key_bytes: int

    def seal(self, key: bytes, plain: bytes, associated: bytes) -> bytes: ...

    def open(self, key: bytes, sealed: bytes, associated: bytes) -> bytes: ...


class AesGcm:
    """AES-256-GCM with a random 12-byte nonce in front (NIST SP 800-38D)."""

    label = "aes-256-gcm"
    key_bytes = 32

    def seal(self, key: bytes, plain: bytes, associated: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, plain, associated)

    def open(self, key: bytes, sealed: bytes, associated: bytes) -> bytes:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], associated)


CIPHERS: dict[int, Cipher] = {1: AesGcm()}
CURRENT = 1


class DataKey:
    """The deployment's data key: 32 random bytes. Its `repr` never shows them."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise KeyProblem(f"The data key must be {KEY_BYTES} bytes, this one has {len(raw)}.")
        self._raw = raw
        self._subkeys: dict[tuple[str, int], bytes] = {}

    @classmethod
    def from_base64(cls, text: str, origin: str = "HOTLINE_KEY") -> DataKey:
        """The key from base64; `origin` names its source in the error."""
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise KeyProblem(f"{origin} is not base64 of a {KEY_BYTES}-byte key.") from None
        if len(raw) != KEY_BYTES:
            raise KeyProblem(f"{origin} must be base64 of {KEY_BYTES} bytes, it holds {len(raw)}.")
        return cls(raw)

    @classmethod
    def from_file(cls, path: Path) -> DataKey:
        """The key in `path`, made with mode 600 if the file is missing.

        Raises `KeyProblem` if others may read or write the file, or if it holds no key.
        """
        if not path.exists():
            _make_key_file(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyProblem(f"{path} has mode {mode:03o}; others can reach it. Run: chmod 600 {path}")
        try:
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyProblem(f"{path} cannot be read as a data key: {error}") from None
        return cls.from_base64(text, str(path))

    @classmethod
    def load(cls, config: Settings | None = None) -> DataKey:
        """The key that the settings name: `HOTLINE_KEY` first, else the key file under `home`."""
        config = config or settings()
        if config.key:
            return cls.from_base64(config.key)
        return cls.from_file(config.home_dir / config.key_file)

    def __repr__(self) -> str:
        return "DataKey(…)"

    def _subkey(self, use: str, length: int = 32) -> bytes:
        if (use, length) not in self._subkeys:
            hkdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=b"hotline/" + use.encode())
            self._subkeys[use, length] = hkdf.derive(self._raw)
        return self._subkeys[use, length]

    def encrypt(self, plain: bytes | str, associated: str = "") -> bytes:
        """Seal `plain`; the same `associated` text is needed to open it."""
        data = plain.encode() if isinstance(plain, str) else plain
        cipher = CIPHERS[CURRENT]
        key = self._subkey(f"cipher/{cipher.label}", cipher.key_bytes)
        version = bytes([CURRENT])
        return version + cipher.seal(key, data, version + associated.encode())

    def decrypt(self, sealed: bytes, associated: str = "") -> bytes:
        """Open what `encrypt` sealed. Raises `Tampered`; never returns unverified bytes."""
        cipher = CIPHERS.get(sealed[0]) if sealed else None
        if cipher is None:
            raise Tampered(f"A stored value{_of(associated)} does not start with a known cipher version.")
        key = self._subkey(f"cipher/{cipher.label}", cipher.key_bytes)
        try:
            return cipher.open(key, sealed[1:], sealed[:1] + associated.encode())
        except (InvalidTag, ValueError):
            raise Tampered(
                f"A stored value{_of(associated)} cannot be opened: changed, or sealed with another key."
            ) from None

    def keyed_hash(self, use: str, text: str) -> str:
        """HMAC-SHA256 of `text` under the subkey of `use`, 64 hexadecimal characters."""
        return hmac.new(self._subkey(f"hash/{use}"), text.encode(), hashlib.sha256).hexdigest()

    def phone_hash(self, phone: str) -> str:
        """What a phone number is looked up by: equal for every way of writing the same number.

        Keyed, because the eleven digits of a mobile number can be tried through in minutes.
        Raises `ValueError` if `phone` holds no number.
        """
        return self.keyed_hash("phone", normal_phone(phone))


def _of(associated: str) -> str:
    return f" of {associated}" if associated else ""


def _make_key_file(path: Path) -> None:
    # A finished file is linked into place: of two processes that start at once, both use the first one's key,
    # and nobody ever reads half a key.
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        os.unlink(name)


_current: DataKey | None = None


def data_key() -> DataKey:
    """The process-wide data key, loaded from the settings at first use."""
    global _current
    if _current is None:
        _current = DataKey.load()
    return _current


def set_data_key(key: DataKey | None) -> None:
    """Replace the process-wide key; `None` makes the next use load it from the settings again."""
    global _current
    _current = key


def normal_phone(phone: str) -> str:
    """Digits of a phone number without the country code 86. Raises `ValueError` if there are none."""
    digits = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", phone))
    digits = re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)", "", digits)
    if not digits:
        raise ValueError("no digits in the phone number")
    return digits


def mask_phone(phone: str) -> str:
    """`13904321187` → `139****1187`; anything shorter than eight digits is hidden whole."""
    try:
        digits = normal_phone(phone)
    except ValueError:
        return "****"
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) >= 8 else "****"


_DIGIT = re.compile(r"\d")
_GAP = r"[ \u00a0\u3000\-－—·]?"
_MOBILE = re.compile(rf"(?<!\d)(?:(?:\+|＋|00|００)?(?:86|８６){_GAP})?[1１](?:{_GAP}\d){{10}}(?!\d)")
_IDENTITY = re.compile(rf"(?<!\d)\d(?:{_GAP}\d){{16}}{_GAP}[\dXxＸｘ](?!\d)")
_CARDS = [re.compile(rf"(?<!\d)\d(?:{_GAP}\d){{{n - 1}}}(?!\d)") for n in (19, 18, 17, 16)]


def _compact(match: re.Match[str]) -> str:
    return re.sub(r"[^0-9X]", "", unicodedata.normalize("NFKC", match[0]).upper())


def _mask_identity(match: re.Match[str]) -> str:
    number = _compact(match)
    # Checksum and birthday only: people keep a number whose county code was abolished, and a list of codes
    # would leave theirs in clear (python-stdnum 2.2 even raises KeyError for a code it knows in part).
    try:
        ric.get_birth_date(number)
    except ValidationError:
        return match[0]
    return f"{number[:3]}{'*' * 13}{number[-2:]}" if ric.calc_check_digit(number) == number[-1] else match[0]


# As people write a card: in one, or in fours. Digits that merely stand side by side (a receipt number or a date and
# then a phone number) are no card, though one in ten has the right check digit.
_WRITTEN_AS_CARD = re.compile(rf"\d{{16,19}}|\d{{4}}(?:{_GAP}\d{{4}}){{3}}(?:{_GAP}\d{{1,3}})?")


def _mask_card(match: re.Match[str]) -> str:
    number = _compact(match)
    if not _WRITTEN_AS_CARD.fullmatch(match[0]):
        return match[0]
    # A company's 统一社会信用代码 may be all digits; it is public and identifies no person.
    if not luhn.is_valid(number) or uscc.is_valid(number):
        return match[0]
    return f"{'*' * (len(number) - 4)}{number[-4:]}"


def _mask_mobile(match: re.Match[str]) -> str:
    digits = normal_phone(match[0])
    return mask_phone(digits) if re.fullmatch(r"1[3-9]\d{9}", digits) else match[0]


def mask_text(text: str, *, phones: bool = True) -> str:
    """`text` with mainland mobile numbers, ID numbers (居民身份证) and bank cards masked.

    Half or full width, with or without gaps. `phones=False` keeps phone numbers: for a citizen's own words
    that are about to be stored encrypted, where a call-back number is needed but no ID or card (Art 6).
    """
    if len(_DIGIT.findall(text)) < 11:
        return text  # The shortest of them has eleven; nearly every message and log line ends here.
    text = _IDENTITY.sub(_mask_identity, text)
    for pattern in _CARDS:
        text = pattern.sub(_mask_card, text)
    return _MOBILE.sub(_mask_mobile, text) if phones else text
