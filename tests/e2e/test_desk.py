"""The desk beside the gateway: it comes back when it dies, and staff stay logged in."""

import time
from datetime import datetime, timezone

import httpx

from bot.staff import accounts
from bot.storage import make_engine, make_sessions
from tests.e2e.conftest import Instance


def test_the_desk_comes_back_and_nobody_has_to_log_in_again(instance: Instance) -> None:
    now = datetime.now(timezone.utc)
    database = make_engine(instance.config.database)
    with make_sessions(database).begin() as session:
        staff = accounts.add_staff(session, "e2e", "王敏", "agent", "Mei-Hua 2026 xue", now=now)
        token = accounts.open_session(session, staff, now=now, kind="program")
    database.dispose()
    url = f"http://127.0.0.1:{instance.config.desk_port}"
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, trust_env=False, timeout=20, headers=headers) as desk:
        assert desk.get("/api/v1/me").json()["username"] == "e2e"
        instance.kill(instance.supervisor.desk)
        deadline = time.monotonic() + 60
        while True:
            try:
                answered = desk.get("/api/v1/me")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert (answered.status_code, answered.json()["username"]) == (200, "e2e")
        assert httpx.get(f"{url}/api/v1/me", trust_env=False).status_code == 401
    # The citizen's side did not notice.
    assert instance.http.get("/readyz").status_code == 200
