"""SMS gateways behind one interface: Kannel, a signed JSON gateway for Chinese providers, the console.

Verify, parse what came, send, understand a delivery report. Everything else is the same for all (bot/channels/sms.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import structlog

from bot.channels.sms_text import parts
from bot.crypto import mask_phone
from bot.errors import HotlineError, Problem
from bot.outbox.worker import Refused, Retry
from bot.settings import Settings

logger = structlog.get_logger(__name__)

WINDOW = 300  # seconds that a signed call may be old, or in the future
NONCES = 100_000  # more than a gateway can sign within the window
TIMEOUT = 15.0
AUTHORIZATION = 60.0  # seconds until a refused password is tried again: an operator has to correct it


@dataclass(frozen=True)
class Call:
    """What a gateway called us with."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str = ""


@dataclass(frozen=True)
class Text:
    """An SMS of a citizen."""

    id: str
    sender: str
    text: str


@dataclass(frozen=True)
class Report:
    """A delivery report (状态报告) by our delivery id or the gateway's number; `ok` is None while it is on its way."""

    id: str
    ok: bool | None


@dataclass(frozen=True)
class Outgoing:
    """An SMS to send. `reference` stays the same over retries; `template` is set for notices."""

    reference: str
    to: str
    text: str
    template: str = ""
    variables: Mapping[str, str] | None = None


class Gateway(Protocol):
    """One provider of SMS."""

    name: str

    def verify(self, call: Call) -> None:
        """Raises `HotlineError` (403) unless the call is the gateway's, 409 for a replayed one."""
        ...

    def text(self, call: Call) -> Text:
        """The SMS of a verified call; raises `HotlineError` (422)."""
        ...

    def report(self, call: Call) -> Report:
        """The delivery report of a verified call; raises `HotlineError` (422)."""
        ...

    async def send(self, outgoing: Outgoing) -> str | None:
        """Hand an SMS over; the gateway's number for it, if it gives one. Raises `Retry` or `Refused`."""
        ...


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _line(value: Any) -> str:
    """A short printable value of a gateway's call."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,100}", value):
        raise HotlineError(Problem.MALFORMED)
    return value


def _number(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\+?\d{3,20}", value.strip()):
        raise HotlineError(Problem.MALFORMED)
    return value.strip()


async def _post(client: httpx.AsyncClient, url: str, **request: Any) -> httpx.Response:
    try:
        response = await client.post(url, **request)
    except httpx.HTTPError as error:
        raise Retry(type(error).__name__) from error
    status = response.status_code
    if status in (401, 403):
        raise Retry(f"HTTP {status}: the gateway refuses our log-in", after=AUTHORIZATION)
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("retry-after", "")
        raise Retry(f"HTTP {status}", after=float(after) if after.isdigit() else None)
    if status >= 300:
        raise Refused(f"HTTP {status}")
    return response


class Kannel:
    """Kannel's smsbox: `post-url` and `dlr-url` carry our key, `sendsms` takes the text as UTF-8 (deploy/kannel)."""

    name = "kannel"
    MASK = 1 | 2 | 16  # delivered, not delivered, rejected by the SMSC

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    def verify(self, call: Call) -> None:
        """The key stands in the URLs that Kannel's configuration and our `dlr-url` name."""
        if not _same(call.query.get("key", ""), self.config.sms_secret):
            raise HotlineError(Problem.BAD_SIGNATURE)

    def text(self, call: Call) -> Text:
        """`id` is %I, the same over Kannel's own retries; the text is the body, UTF-8 by `mo-recode`."""
        query = call.query
        # `%p` may carry a "+", which reads as a blank in a query.
        sender = query.get("from", "").strip()
        # Eight-bit data is UCS-2 whose coding got lost on the way (so Kannel's own simulator with joined parts).
        code = "utf-16-be" if call.headers.get("x-kannel-coding") == "1" else "utf-8"
        return Text(_line(query.get("id")), _number(sender), call.body.decode(code, "replace"))

    def report(self, call: Call) -> Report:
        """`status` is %d: 1 delivered, 2 failed, 16 rejected; 4 and 8 are on the way."""
        status = call.query.get("status", "")
        if not re.fullmatch(r"\d{1,3}", status):
            raise HotlineError(Problem.MALFORMED)
        outcome = {1: True, 2: False, 16: False}.get(int(status))
        return Report(_line(call.query.get("id")), outcome)

    async def send(self, outgoing: Outgoing) -> str | None:
        """`sendsms` by POST; Kannel cuts the text into parts of 67 itself and names no number of its own."""
        config = self.config
        base = config.callback_url or f"http://127.0.0.1:{config.port}"
        report = (
            f"{base}/channels/sms/kannel/report?key={quote(config.sms_secret)}"
            f"&id={quote(outgoing.reference)}&status=%d"
        )
        # As headers and body, not as a query: queries stand in access logs.
        headers = {
            "X-Kannel-Username": config.sms_user,
            "X-Kannel-Password": config.sms_password,
            "X-Kannel-From": config.sms_from,
            "X-Kannel-To": outgoing.to,
            "X-Kannel-Coding": "2",  # Without it Chinese arrives as ????.
            "X-Kannel-DLR-Mask": str(self.MASK),
            "X-Kannel-DLR-Url": report,
            "Content-Type": "text/plain; charset=UTF-8",
        }
        await _post(self.client, config.sms_url, headers=headers, content=outgoing.text.encode())
        return None


def signature(secret: str, timestamp: str, nonce: str, body: bytes) -> str:
    """HMAC-SHA256 over timestamp, nonce and body, each on a line, as 64 hexadecimal digits."""
    signed = f"{timestamp}\n{nonce}\n".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class SignedJson:
    """JSON over HTTPS, signed both ways: what a provider's adapter or an integration bus speaks (docs/channels.md)."""

    name = "json"

    def __init__(self, config: Settings, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.clock = clock
        self.client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        self._seen: OrderedDict[str, float] = OrderedDict()

    def verify(self, call: Call) -> None:
        """Signature, age and nonce; a retry is signed anew, with the same message id."""
        timestamp = call.headers.get("x-hotline-timestamp", "")
        nonce = call.headers.get("x-hotline-nonce", "")
        given = call.headers.get("x-hotline-signature", "")
        secret, now = self.config.sms_secret, self.clock()
        if not secret or not re.fullmatch(r"\d{1,12}", timestamp) or not re.fullmatch(r"[!-~]{8,64}", nonce):
            raise HotlineError(Problem.BAD_SIGNATURE)
        if not _same(given.lower(), signature(secret, timestamp, nonce, call.body)):
            raise HotlineError(Problem.BAD_SIGNATURE)
        if abs(now - int(timestamp)) > WINDOW:
            raise HotlineError(Problem.BAD_SIGNATURE)
        self._use(nonce, now)

    def _use(self, nonce: str, now: float) -> None:
        while self._seen and (
            len(self._seen) >= NONCES or now - next(iter(self._seen.values())) > 2 * WINDOW
        ):
            self._seen.popitem(last=False)
        if nonce in self._seen:
            raise HotlineError(Problem.REPLAYED)
        self._seen[nonce] = now

    def _body(self, call: Call) -> dict[str, Any]:
        try:
            body = json.loads(call.body)
        except (ValueError, RecursionError):
            raise HotlineError(Problem.MALFORMED) from None
        if not isinstance(body, dict):
            raise HotlineError(Problem.MALFORMED)
        return body

    def text(self, call: Call) -> Text:
        """`{"id", "from", "text"}`; a long SMS comes joined."""
        body = self._body(call)
        if not isinstance(body.get("text"), str):
            raise HotlineError(Problem.MALFORMED)
        return Text(_line(body.get("id")), _number(body.get("from")), body["text"])

    def report(self, call: Call) -> Report:
        """`{"id", "status": "delivered" | "failed" | anything else: on its way}`."""
        body = self._body(call)
        outcome = {"delivered": True, "failed": False}.get(_line(body.get("status")))
        return Report(_line(body.get("id")), outcome)

    async def send(self, outgoing: Outgoing) -> str | None:
        """POST `{"id", "from", "to", "text", "parts"}`, notices with `template` and `variables`; answered `{"id"}`."""
        fields: dict[str, Any] = {
            "id": outgoing.reference,
            "from": self.config.sms_from,
            "to": outgoing.to,
            "text": outgoing.text,
            "parts": parts(outgoing.text),
        }
        if outgoing.template:
            fields |= {"template": outgoing.template, "variables": dict(outgoing.variables or {})}
        body = json.dumps(fields, ensure_ascii=False).encode()
        timestamp, nonce = str(int(self.clock())), secrets.token_hex(12)
        headers = {
            "Content-Type": "application/json",
            "X-Hotline-Timestamp": timestamp,
            "X-Hotline-Nonce": nonce,
            "X-Hotline-Signature": signature(self.config.sms_secret, timestamp, nonce, body),
        }
        response = await _post(self.client, self.config.sms_url, content=body, headers=headers)
        try:
            number = response.json().get("id")
        except (ValueError, AttributeError):
            return None
        return str(number)[:100] if number else None


class Console(SignedJson):
    """For development: prints what would be sent, and takes unsigned JSON from this machine only."""

    name = "console"

    def verify(self, call: Call) -> None:
        """Only a caller on the loopback interface."""
        if call.client not in ("127.0.0.1", "::1"):
            raise HotlineError(Problem.BAD_SIGNATURE)

    async def send(self, outgoing: Outgoing) -> str | None:
        """The text on the log; the number masked."""
        logger.info("sms", to=mask_phone(outgoing.to), parts=parts(outgoing.text), text=outgoing.text)
        return None


def make_gateway(config: Settings) -> Gateway:
    """The gateway that the settings name. Raises `ValueError` if something that it needs is not set."""
    kinds: dict[str, type[Kannel] | type[SignedJson]] = {
        "kannel": Kannel,
        "json": SignedJson,
        "console": Console,
    }
    if config.sms_gateway != "console":
        for name in ("sms_secret", "sms_url"):
            if not getattr(config, name):
                raise ValueError(f"HOTLINE_SMS_GATEWAY={config.sms_gateway} needs HOTLINE_{name.upper()}.")
    return kinds[config.sms_gateway](config)
