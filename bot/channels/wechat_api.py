"""WeChat's API: the access token, customer-service messages (客服消息), the menu. The base URL is a setting."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from bot.outbox.worker import Refused, Retry
from bot.settings import Settings

EARLY = 300.0  # seconds before its end that a token is not used any more
_STALE_TOKEN = {40001, 40014, 42001}
# Wrong openid, not a follower, 48 hours since the last word of the citizen, too many since then, text too long.
_NEVER = {40003, 43004, 45015, 45047, 45002, 43019}
_LATER = {-1: 5.0, 45009: 600.0, 45011: 60.0}


class WeChatApi:
    """One official account's API."""

    def __init__(self, config: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.clock = clock
        self.client = httpx.AsyncClient(base_url=config.wechat_api_url, timeout=10.0, trust_env=False)
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def _post(self, path: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
        # Not as \u escapes: WeChat shows those of a menu to the citizen as they are.
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            response = await self.client.post(
                path, content=content, params=query, headers={"Content-Type": "application/json"}
            )
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            # Only the name: the address of the error holds the token.
            raise Retry(type(error).__name__) from None
        if not isinstance(answer, dict):
            raise Retry("WeChat answered no object")
        return answer

    async def token(self) -> str:
        """The access token, asked for once and kept until shortly before its end. Raises `Retry`."""
        async with self._lock:
            if self._token and self.clock() < self._until:
                return self._token
            body = {
                "grant_type": "client_credential",
                "appid": self.config.wechat_app_id,
                "secret": self.config.wechat_app_secret,
            }
            answer = await self._post("/cgi-bin/stable_token", body)
            token = answer.get("access_token")
            if not isinstance(token, str) or not token:
                raise Retry(f"WeChat gives no access token: {answer.get('errcode')}", after=60.0)
            self._token = token
            self._until = self.clock() + max(float(answer.get("expires_in", 0)) - EARLY, 1.0)
            return token

    async def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST with the access token, which is fetched anew once if it is stale. Raises `Retry` or `Refused`."""
        code = 0
        for _ in range(2):
            answer = await self._post(path, body, access_token=await self.token())
            code = int(answer.get("errcode") or 0)
            if code == 0:
                return answer
            if code not in _STALE_TOKEN:
                break
            self._token = ""
        if code in _NEVER:
            raise Refused(f"WeChat refuses: {code}")
        raise Retry(f"WeChat answers {code}", after=_LATER.get(code))

    async def say(self, openid: str, text: str) -> None:
        """A customer-service message; allowed for 48 hours after the citizen's last word."""
        await self.call(
            "/cgi-bin/message/custom/send", {"touser": openid, "msgtype": "text", "text": {"content": text}}
        )

    async def set_menu(self, menu: dict[str, Any]) -> None:
        """Replace the menu under the conversation (deploy/wechat/menu.json)."""
        await self.call("/cgi-bin/menu/create", menu)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()
