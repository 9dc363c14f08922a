"""A WeChat server that speaks the documented XML and API: pushes messages with its retries, takes 客服消息.

Its cryptography is its own, so that a mistake in ours does not cancel itself out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TOKEN = "hotline-test"
APP_ID = "wx0123456789abcdef"
AES_KEY = "JiLin12315AbCdEfGhIjKlMnOpQrStUvWxYz012345A"
ACCOUNT = "gh_jilin12315"


def sha1(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def _aes() -> Any:
    key = base64.b64decode(AES_KEY + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def encrypted(xml: str, app_id: str = APP_ID) -> str:
    data = os.urandom(16) + len(xml.encode()).to_bytes(4, "big") + xml.encode() + app_id.encode()
    padder = padding.PKCS7(256).padder()
    data = padder.update(data) + padder.finalize()
    worker = _aes().encryptor()
    return base64.b64encode(worker.update(data) + worker.finalize()).decode()


def decrypted(text: str) -> str:
    worker = _aes().decryptor()
    data = worker.update(base64.b64decode(text)) + worker.finalize()
    unpadder = padding.PKCS7(256).unpadder()
    data = unpadder.update(data) + unpadder.finalize()
    size = int.from_bytes(data[16:20], "big")
    assert data[20 + size :].decode() == APP_ID
    return data[20 : 20 + size].decode()


def cdata(**fields: str) -> str:
    inner = "".join(
        f"<{k}>{v}</{k}>" if k in ("CreateTime", "MsgId") else f"<{k}><![CDATA[{v}]]></{k}>"
        for k, v in fields.items()
    )
    return f"<xml>{inner}</xml>"


def element(xml: str, name: str) -> str:
    import xml.etree.ElementTree as tree

    return tree.fromstring(xml).findtext(name) or ""


@dataclass
class WeChat:
    """The server. `http` reaches our gateway; `said` is what its customer-service API took."""

    http: httpx.AsyncClient
    aes: bool = False
    patience: float = 5.0
    said: list[tuple[str, str]] = field(default_factory=list)  # (openid, text)
    menus: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)  # error codes to answer first
    attempts: int = 0
    serial: Any = field(default_factory=lambda: itertools.count(24_000_000_000_000_001))

    # -- pushing to the account ----------------------------------------------------------------------

    def query(self, body: str = "", nonce: str = "n0nce") -> dict[str, str]:
        query = {"timestamp": "1800000000", "nonce": nonce, "signature": sha1(TOKEN, "1800000000", nonce)}
        if self.aes:
            query |= {"encrypt_type": "aes", "msg_signature": sha1(TOKEN, "1800000000", nonce, body)}
        return query

    async def post(self, xml: str) -> httpx.Response:
        """One delivery, whatever comes of it."""
        body, query = xml, self.query()
        if self.aes:
            sealed = encrypted(xml)
            body, query = cdata(ToUserName=ACCOUNT, Encrypt=sealed), self.query(sealed)
        return await self.http.post("/channels/wechat", params=query, content=body.encode())

    def opened(self, response: httpx.Response) -> str:
        """The text of a passive reply; empty for `success`."""
        assert response.status_code == 200, response.text
        if response.text in ("success", ""):
            return ""
        answer = response.text
        if self.aes:
            sealed = element(answer, "Encrypt")
            stamp, nonce = element(answer, "TimeStamp"), element(answer, "Nonce")
            assert element(answer, "MsgSignature") == sha1(TOKEN, stamp, nonce, sealed)
            answer = decrypted(sealed)
        assert element(answer, "MsgType") == "text"
        assert element(answer, "FromUserName") == ACCOUNT
        return element(answer, "Content")

    def message(self, openid: str, kind: str = "text", **fields: str) -> str:
        known = {"MsgId": str(next(self.serial))} if kind != "event" else {}
        known |= {"ToUserName": ACCOUNT, "FromUserName": openid, "CreateTime": "1800000000", "MsgType": kind}
        return cdata(**(known | fields))

    async def push(self, xml: str) -> str:
        """What the citizen sees of the response: up to three attempts, each for `patience` seconds."""
        for _ in range(3):
            self.attempts += 1
            try:
                response = await asyncio.wait_for(self.post(xml), self.patience)
            except TimeoutError:
                continue
            if response.status_code == 200:
                return self.opened(response)
        return "该公众号提供的服务出现故障，请稍后再试"

    async def say(self, openid: str, text: str) -> str:
        return await self.push(self.message(openid, Content=text))

    # -- the API -------------------------------------------------------------------------------------

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/cgi-bin/stable_token", self._token, methods=["POST"]),
                Route("/cgi-bin/message/custom/send", self._send, methods=["POST"]),
                Route("/cgi-bin/menu/create", self._menu, methods=["POST"]),
            ]
        )

    async def _token(self, request: Request) -> JSONResponse:
        asked = await request.json()
        if (asked.get("appid"), asked.get("secret")) != (APP_ID, "app-secret"):
            return JSONResponse({"errcode": 40125, "errmsg": "invalid appsecret"})
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        return JSONResponse({"access_token": self.tokens[-1], "expires_in": 7200})

    def _refused(self, request: Request) -> JSONResponse | None:
        if request.query_params.get("access_token") != (self.tokens or [""])[-1]:
            return JSONResponse({"errcode": 40001, "errmsg": "invalid credential"})
        if self.fail:
            return JSONResponse({"errcode": self.fail.pop(0), "errmsg": "x"})
        return None

    async def _send(self, request: Request) -> JSONResponse:
        if refused := self._refused(request):
            return refused
        raw = await request.body()
        sent = json.loads(raw)
        text = sent["text"]["content"]
        if not re.search(rb"\\u", raw) and len(text.encode()) <= 2048 and sent["msgtype"] == "text":
            self.said.append((sent["touser"], text))
            return JSONResponse({"errcode": 0, "errmsg": "ok"})
        return JSONResponse({"errcode": 45002, "errmsg": "content size out of limit"})

    async def _menu(self, request: Request) -> JSONResponse:
        if refused := self._refused(request):
            return refused
        self.menus.append(await request.json())
        return JSONResponse({"errcode": 0, "errmsg": "ok"})
