"""What the outages happen to: one machine on SQLite, and the scaled-out form on PostgreSQL and Redis."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from bot.conversations.models import Conversation, HandOver, Message
from bot.desk.auth import COOKIE
from bot.operations.cluster import Cluster
from bot.outbox.models import Delivery
from bot.processes import Child, Supervisor
from bot.settings import Settings
from bot.staff import accounts
from bot.storage import make_engine, make_sessions
from tests.e2e.citizen import Talk
from tests.reliability.disk import Disk
from tests.reliability.outside import Outside

PATIENCE = 90.0  # seconds; what is waited for takes a few, but the machine may be busy with other things
QUESTION = "电梯维保能延长吗"  # answered by measure 9
SMS_KEY, HOOK_SECRET = "a-key-of-the-test", "a-secret-of-the-test"
DEPARTMENT = "消费者权益保护"
Found = TypeVar("Found")


def until(check: Callable[[], Found], what: str, patience: float = PATIENCE) -> Found:
    """What `check` gives as soon as it is true; a request that fails on the way counts as not yet."""
    deadline = time.monotonic() + patience
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := check():
                return last
        except httpx.HTTPError as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"not after {patience:.0f} seconds: {what} (last: {last!r})")


@dataclass(frozen=True)
class Answer:
    """A call's outcome as a caller sees it: `status` 0 is no connection. `seconds` is how long it took."""

    status: int
    body: Any
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The error's code; empty if there is none."""
        return str(self.body.get("error", {}).get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        """The error's text for people."""
        return str(self.body.get("error", {}).get("message", "")) if isinstance(self.body, dict) else ""

    @property
    def replies(self) -> list[dict[str, Any]]:
        """The replies of a turn; of something else none."""
        return list(self.body.get("replies", [])) if isinstance(self.body, dict) else []

    @property
    def kinds(self) -> list[str]:
        """What kind each reply is."""
        return [reply["answer"]["kind"] for reply in self.replies]


def call(client: httpx.Client, method: str, path: str, **more: Any) -> Answer:
    """One request, whatever becomes of it."""
    begun = time.monotonic()
    try:
        response = client.request(method, path, **more)
    except httpx.HTTPError as error:
        return Answer(0, type(error).__name__, time.monotonic() - begun)
    try:
        body = response.json()
    except ValueError:
        body = response.text
    return Answer(response.status_code, body, time.monotonic() - begun, dict(response.headers))


class Citizen(Talk):
    """A citizen who notes what becomes of each message and, as the page does, sends again under the same id."""

    def ask(self, text: str, message_id: str = "", http: httpx.Client | None = None) -> Answer:
        """One try."""
        body = {"client_message_id": message_id or uuid.uuid4().hex, "text": text}
        return call(http or self.http, "POST", f"{self.path}/messages", json=body, headers=self.headers)

    def insist(self, text: str, message_id: str = "", patience: float = PATIENCE) -> list[Answer]:
        """Every try until one is answered."""
        message_id = message_id or uuid.uuid4().hex
        tries: list[Answer] = []

        def answered() -> bool:
            tries.append(self.ask(text, message_id))
            return tries[-1].status == 200

        until(answered, f"an answer to {text!r}", patience)
        return tries

    def give(self, picture: bytes) -> Answer:
        """Give a file."""
        files = {"file": ("小票.png", picture, "application/octet-stream")}
        data = {"client_message_id": uuid.uuid4().hex}
        path = f"{self.path}/attachments"
        return call(self.http, "POST", path, files=files, data=data, headers=self.headers)

    def follow(self, last: int, count: int, timeout: float = 30.0) -> list[dict[str, Any]]:
        """`count` messages of the event stream after seq `last`: `{"seq", …}` each."""
        headers = self.headers | {"Last-Event-ID": str(last)}
        found: list[dict[str, Any]] = []
        with self.http.stream("GET", f"{self.path}/events", headers=headers, timeout=timeout) as response:
            event = ""
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data" and event == "message":
                    found.append(httpx.Response(200, text=value).json())
                    if len(found) == count:
                        break
        return found


class Desk:
    """A member of staff with a bearer token, and the same one in a browser (`page`)."""

    def __init__(self, url: str, token: str, page_token: str) -> None:
        self.http = httpx.Client(
            base_url=url, trust_env=False, timeout=40, headers={"Authorization": f"Bearer {token}"}
        )
        self.browser = httpx.Client(base_url=url, trust_env=False, timeout=40, cookies={COOKIE: page_token})

    def get(self, path: str, **params: Any) -> Answer:
        """A reading call of the staff API; `path` after `/api/v1`."""
        return call(self.http, "GET", f"/api/v1{path}", params=params)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """A changing call of the staff API."""
        return call(self.http, "POST", f"/api/v1{path}", json=body)

    def page(self, path: str = "/") -> Answer:
        """A page as a browser gets it."""
        return call(self.browser, "GET", path)

    def waiting(self, citizen: Talk) -> dict[str, Any]:
        """The citizen's row of the queue; empty if nobody waits. Raises `httpx.HTTPError` if the desk fails."""
        response = self.http.get("/api/v1/queue").raise_for_status()
        found = [row for row in response.json()["waiting"] if row["conversation_id"] == citizen.id]
        return dict(found[0]) if found else {}

    def say(self, citizen: Talk, text: str) -> Answer:
        """Words to the citizen."""
        body = {"client_message_id": uuid.uuid4().hex, "text": text}
        return self.post(f"/conversations/{citizen.id}/staff-messages", body)


class Records:
    """What is stored, read past all processes."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        self.sessions: sessionmaker[Session] = make_sessions(self._engine)
        self.readers: sessionmaker[Session] = make_sessions(self._engine, read_only=True)

    def messages(self, citizen: Talk) -> list[Message]:
        """The conversation's messages in order."""
        query = select(Message).where(Message.conversation_id == citizen.id).order_by(Message.seq)
        with self.readers() as session:
            return list(session.scalars(query))

    def authors(self, citizen: Talk) -> str:
        """Who spoke, a letter each: u(ser), b(ot), s(taff), y for the system."""
        letters = {"user": "u", "bot": "b", "staff": "s", "system": "y"}
        return "".join(letters[m.author] for m in self.messages(citizen))

    def gapless(self, citizen: Talk) -> bool:
        """Whether the seqs are 1, 2, 3 … without gap or double."""
        seqs = [m.seq for m in self.messages(citizen)]
        return seqs == list(range(1, len(seqs) + 1))

    def count(self, what: type[Message] | type[Conversation] | type[HandOver]) -> int:
        """How many rows there are."""
        with self.readers() as session:
            return session.scalar(select(func.count()).select_from(what)) or 0

    def hand_overs(self, citizen: Talk) -> list[HandOver]:
        """The conversation's hand-overs."""
        with self.readers() as session:
            return list(session.scalars(select(HandOver).where(HandOver.conversation_id == citizen.id)))

    def deliveries(self, **where: Any) -> list[Delivery]:
        """Rows of the outbox, oldest first."""
        with self.readers() as session:
            return list(session.scalars(select(Delivery).filter_by(**where).order_by(Delivery.id)))

    def staff(self, desk_url: str, username: str, role: str = "lead") -> Desk:
        """A new member of staff who has logged in."""
        now = datetime.now(timezone.utc)
        with self.sessions.begin() as session:
            staff = accounts.add_staff(session, username, "王敏", role, "Mei-Hua 2026 xue", now=now)
            staff.must_change_password = False
            tokens = [
                accounts.open_session(session, staff, now=now, kind=kind) for kind in ("program", "page")
            ]
        return Desk(desk_url, *tokens)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


@dataclass
class Alone:
    """Engine, gateway and desk on SQLite under a supervisor; SMS gateway and a department outside."""

    config: Settings
    supervisor: Supervisor
    http: httpx.Client
    records: Records
    desk: Desk
    disk: Disk
    sms: Outside
    hook: Outside

    def citizen(self) -> Citizen:
        """A new conversation."""
        return Citizen(self.http)

    def text(self, sender: str, text: str) -> Answer:
        """An SMS to 12315, as the SMS gateway brings it."""
        params = {"key": SMS_KEY, "from": sender, "id": uuid.uuid4().hex}
        return call(self.http, "POST", "/channels/sms/kannel", params=params, content=text.encode())

    def kill(self, child: Child) -> None:
        """kill -9."""
        assert child.process is not None
        child.restarts.clear()  # Or else each row would wait twice as long as the last.
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def ready(self) -> bool:
        """Whether engine and database answer, and the desk does."""
        up = call(self.http, "GET", "/readyz").status == 200
        return up and call(self.desk.http, "GET", "/healthz").status == 200

    def wait_until_ready(self) -> float:
        """Wait for it; the seconds that it took."""
        begun = time.monotonic()
        until(self.ready, "all processes ready")
        return time.monotonic() - begun


@dataclass
class Many:
    """The scaled-out form: PostgreSQL, Redis, nginx, two engines, two gateways, a desk."""

    cluster: Cluster
    http: httpx.Client
    gateways: list[httpx.Client]
    records: Records
    desk: Desk

    def citizen(self) -> Citizen:
        """A new conversation, through nginx."""
        return Citizen(self.http)

    def pids(self) -> dict[str, int]:
        """Our own processes."""
        ours = ("engine", "gateway", "desk")
        return {
            name: child.process.pid
            for name, child in self.cluster.children.items()
            if name.startswith(ours) and child.process is not None and child.alive()
        }

    def wait_until_ready(self) -> None:
        """Until every gateway says that engine and database answer."""
        for gateway in self.gateways:
            until(lambda client=gateway: call(client, "GET", "/readyz").status == 200, "a gateway ready")


@contextmanager
def in_background(work: Callable[[threading.Event], None], number: int = 1) -> Iterator[None]:
    """`number` threads of `work(stop)` as long as the block lasts; what they raise is raised here."""
    stop = threading.Event()
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work(stop)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    if raised:
        raise raised[0]


def lodge(citizen: Citizen, phone: str) -> str:
    """A complaint from the first sentence to the receipt; its number."""
    citizen.fill(
        citizen.say("我要投诉"),
        {
            "respondent": "百惠乐超市，在二道区东盛大街",
            "respondent_address": "二道区东盛大街",
            "facts": "买的酸奶过期半个月了",
            "request": "退钱",
            "name": "孙月",
            "phone": phone,
        },
    )
    [receipt] = citizen.say("确认提交")
    return str(receipt["answer"]["case"])
