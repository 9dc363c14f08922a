"""Scripted members of staff at the desk's API: they take who waits, say a sentence, and give the citizen back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import httpx
from sqlalchemy.orm import Session, sessionmaker

from bot.staff import accounts, passwords
from bot.staff.models import Role
from tests.load.citizens import AGAIN, LONGEST_PAUSE

WORDS = ["您好，我是值班员，您的情况我看到了。", "这边给您记上了，您稍等。", "已经转给同事在看。"]


@dataclass
class Officer:
    """One member of staff; `said` are the words that the desk has accepted, by conversation."""

    url: str
    token: str
    chance: random.Random
    said: list[tuple[str, str]] = field(default_factory=list)
    taken: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self) -> None:
        """Until the run is over; nobody is left in this officer's hands then."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, trust_env=False, verify=False, timeout=15.0
        ) as http:
            while not self.over.is_set():
                queue = (await self._call(http, "GET", "/api/v1/queue")).json()
                waiting = [w["conversation_id"] for w in queue["waiting"]]
                # Not always the first: two officers would only ever race for the same one.
                for conversation_id in self.chance.sample(waiting[:8], min(1, len(waiting))):
                    await self._serve(http, conversation_id)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.over.wait(), self.chance.uniform(0.5, 2.0))
            for mine in (await self._call(http, "GET", "/api/v1/queue")).json()["mine"]:
                await self._call(http, "POST", f"/api/v1/conversations/{mine['conversation_id']}/release")

    async def _serve(self, http: httpx.AsyncClient, conversation_id: str) -> None:
        path = f"/api/v1/conversations/{conversation_id}"
        if (await self._call(http, "POST", f"{path}/claim")).status_code != 200:
            return  # A colleague was faster.
        self.taken += 1
        for _ in range(self.chance.randint(1, 2)):
            await asyncio.sleep(self.chance.uniform(1.0, 4.0))
            words = f"{self.chance.choice(WORDS)}（{uuid.uuid4().hex[:8]}）"
            body = {"client_message_id": uuid.uuid4().hex, "text": words}
            if (await self._call(http, "POST", f"{path}/staff-messages", json=body)).status_code == 201:
                self.said.append((conversation_id, words))
        await self._call(http, "POST", f"{path}/{self.chance.choice(['release', 'close'])}")

    async def _call(self, http: httpx.AsyncClient, method: str, path: str, **more: object) -> httpx.Response:
        """The first response of a desk that works; 409 says that somebody else was faster."""
        pause = 0.25
        while True:
            with contextlib.suppress(httpx.HTTPError):
                response = await http.request(method, path, **more)  # type: ignore[arg-type]
                if response.status_code not in AGAIN:
                    if response.status_code >= 300 and response.status_code != 409:
                        raise AssertionError(f"{method} {path}: {response.status_code} {response.text[:200]}")
                    return response
            pause = min(LONGEST_PAUSE, pause * 2)
            await asyncio.sleep(pause)


def hired(sessions: sessionmaker[Session], url: str, count: int, chance: random.Random) -> list[Officer]:
    """Officers with accounts and tokens of their own."""
    now = datetime.now(timezone.utc)
    found = []
    for number in range(count):
        with sessions.begin() as session:
            staff = accounts.add_staff(
                session, f"load{number}", f"值班{number}", Role.AGENT, passwords.generate(), now=now
            )
            token = accounts.open_session(session, staff, now=now, kind="program", lasts=timedelta(hours=6))
        found.append(Officer(url, token, random.Random(chance.random())))
    return found
