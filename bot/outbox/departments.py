"""Pushes to departments: a webhook, a mailbox, or, as long as nothing is configured, a log file.

Which department is reached how stands in the YAML file that the setting `departments` names; it is read again when it
changes, so that a wrong address is mended without a restart and dead letters can go out.

    smtp: {host: mail.example.org, port: 465, security: tls, sender: hotline@example.org, username: u, password_file: f}
    departments:
      消费者权益保护: {url: https://…, secret_file: secrets/consumer}   # or secret_env: NAME_OF_A_VARIABLE
      计量: {mailbox: metering@example.org}

Files are absolute or relative to the YAML file. A webhook without a secret is not accepted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import smtplib
import ssl
from collections.abc import Callable
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.crypto import mask_text
from bot.outbox.models import Delivery
from bot.outbox.worker import Refused, Retry
from bot.settings import Settings

KIND = "department"
LOG_FILE = "department-push.log"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NEVER = (400, 410, 413, 415, 422)  # the receiver has read it and does not want it


class DepartmentsError(Exception):
    """The departments file is wrong; the message names the place, never a secret."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Model):
    """How one department is reached."""

    url: str | None = None
    secret_env: str | None = None
    secret_file: Path | None = None
    mailbox: str | None = Field(None, pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$")

    @model_validator(mode="after")
    def _one(self) -> Target:
        if (self.url is None) == (self.mailbox is None):
            raise ValueError("either url or mailbox")
        if self.url is None:
            return self
        if (self.secret_env is None) == (self.secret_file is None):
            raise ValueError("a webhook needs secret_env or secret_file")
        parts = urlsplit(self.url)
        # Personal data goes in clear over http; on this very machine a proxy may take it on.
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError("a webhook needs https")
        return self


class Smtp(_Model):
    """The mail server that mailboxes are reached through."""

    host: str
    port: int = Field(465, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    sender: str
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _sealed(self) -> Smtp:
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError("security: none only towards this machine")
        return self


class Departments(_Model):
    """The whole file."""

    smtp: Smtp | None = None
    departments: dict[str, Target] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _mail(self) -> Departments:
        if self.smtp is None and any(target.mailbox for target in self.departments.values()):
            raise ValueError("a mailbox needs smtp")
        return self


def load_departments(path: Path) -> Departments:
    """The file; nothing configured if it is missing. Raises `DepartmentsError` if it is wrong."""
    if not path.exists():
        return Departments()
    try:
        return Departments.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DepartmentsError(f"{path.name}: {places}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DepartmentsError(f"{path.name} cannot be read: {type(error).__name__}") from None


def _secret(folder: Path, variable: str | None, file: Path | None) -> str:
    if variable is not None:
        value = os.environ.get(variable, "")
    else:
        try:
            value = (folder / (file or "")).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            value = ""
    if not value.strip():
        raise Retry(f"the secret {variable or file} is missing")
    return value.strip()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, hexadecimal; the receiver computes the same and compares in constant time."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class DepartmentAdapter:
    """Sends the deliveries of kind `department`; `target` is {"department": name}."""

    def __init__(
        self,
        path: Path,
        home: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        timeout: float = 10.0,
    ) -> None:
        self._path, self._home, self._now, self._timeout = path, home, now, timeout

    async def send(self, delivery: Delivery) -> str | None:
        """Send it to the webhook, the mailbox or the log file of its department."""
        try:
            known = await asyncio.to_thread(load_departments, self._path)
        except DepartmentsError as error:
            raise Retry(str(error)) from None
        target = known.departments.get(str(delivery.target.get("department")))
        if target is None:
            return await asyncio.to_thread(self._print, delivery)
        if target.url is not None:
            return await self._post(target, delivery)
        assert known.smtp is not None and target.mailbox is not None
        return await asyncio.to_thread(self._mail, known.smtp, target.mailbox, delivery)

    async def _post(self, target: Target, delivery: Delivery) -> str | None:
        secret = _secret(self._path.parent, target.secret_env, target.secret_file)
        body = json.dumps(delivery.payload, ensure_ascii=False, sort_keys=True).encode()
        timestamp = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-Hotline-Delivery": delivery.delivery_id,
            "X-Hotline-Timestamp": timestamp,
            "X-Hotline-Signature": signature(secret, timestamp, body),
        }
        try:
            async with httpx.AsyncClient(timeout=self._timeout, trust_env=False) as http:
                response = await http.post(str(target.url), content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Retry(f"no answer: {type(error).__name__}") from None
        if response.is_success:
            return _reference(response)
        if response.status_code in _NEVER:
            raise Refused(f"refused with {response.status_code}")
        # 401, 403, 404 and redirects are somebody's mistake that will be mended; so they are tried again.
        raise Retry(f"answered {response.status_code}", _retry_after(response))

    def _mail(self, smtp: Smtp, mailbox: str, delivery: Delivery) -> str | None:
        message = EmailMessage()
        body = delivery.payload
        # No names in the subject: it is shown on locked screens and stands in the servers' logs.
        message["Subject"] = (
            f"【12315{body['notice_label']}】{body['number']} {body['type_label']}（{body['part']}）"
        )
        message["From"], message["To"] = smtp.sender, mailbox
        message["Date"] = format_datetime(self._now())
        message["Message-ID"] = f"<{delivery.delivery_id}@hotline.invalid>"
        message["X-Hotline-Delivery"] = delivery.delivery_id
        message.set_content(as_text(body))
        context = ssl.create_default_context()
        try:
            if smtp.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    smtp.host, smtp.port, timeout=self._timeout, context=context
                )
            else:
                server = smtplib.SMTP(smtp.host, smtp.port, timeout=self._timeout)
            with server:
                if smtp.security == "starttls":
                    server.starttls(context=context)
                if smtp.username:
                    password = _secret(self._path.parent, smtp.password_env, smtp.password_file)
                    server.login(smtp.username, password)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            if codes and all(code >= 500 for code in codes):
                raise Refused(f"mailbox refused with {codes[0]}") from None
            raise Retry(f"mailbox refused with {codes}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Retry(f"mail server: {type(error).__name__}") from None
        return str(message["Message-ID"])

    def _print(self, delivery: Delivery) -> None:
        # Nobody is configured: what would be sent is written down without the citizen, and nothing on stdout.
        body = dict(delivery.payload)
        body["contact"] = {name: "***" for name in body.get("contact") or {}}
        line = json.dumps({"delivery": delivery.delivery_id, **_masked(body)}, ensure_ascii=False)
        handle = os.open(self._home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _reference(response: httpx.Response) -> str | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    reference = answer.get("reference") if isinstance(answer, dict) else None
    return reference[:128] if isinstance(reference, str) and reference else None


def _retry_after(response: httpx.Response) -> float | None:
    told = response.headers.get("Retry-After", "")
    return min(float(told), 86400.0) if told.isdigit() else None


def as_text(body: dict[str, Any]) -> str:
    """A push as a letter."""
    lines = [
        f"{body['notice_label']}：{body['type_label']} {body['number']}",
        f"承办：{body['department']}（{body['part']}）",
        f"登记时间：{body['registered_at'][:16].replace('T', ' ')}",
    ]
    if body.get("urgent"):
        lines.append("紧急件，请优先办理。")
    if body.get("opinion"):
        lines.append(f"意见：{body['opinion']}")
    if body.get("due_on"):
        lines.append(f"请于{body['due_on']}前反馈。")
    lines += [f"{label}：{text}" for label, text in (body.get("facts") or {}).items()]
    lines += [f"{label}：{text}" for label, text in (body.get("contact") or {}).items()]
    if body.get("facts") and not body.get("contact"):
        lines.append("来件人信息依法保密，需要联系请与12315值班台联系。")
    for clock in body.get("clocks") or []:
        unsure = "" if clock["verified"] else "，依据未经核对"
        lines.append(f"时限：{clock['name']}，{clock['due_on']}（{clock['basis']}{unsure}）")
    lines.append("没有处理权限的，请退回12315值班台，不要自行移送。")
    return "\n".join(lines)


def department_adapters(config: Settings) -> dict[str, DepartmentAdapter]:
    """The adapter by its kind. Raises `DepartmentsError` if the file is wrong now: a mistake stops the start."""
    path = config.departments if config.departments.is_absolute() else config.home_dir / config.departments
    load_departments(path)
    return {KIND: DepartmentAdapter(path, config.home_dir)}
