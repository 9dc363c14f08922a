"""The desk while the database is locked or down: it says so, in words, and logs nobody out."""

import sqlite3

import pytest
from sqlalchemy.engine import make_url

from bot.desk.auth import COOKIE
from bot.staff import accounts
from bot.storage import DatabaseDown
from tests.desk.conftest import PASSWORD


@pytest.fixture
def away(desk, monkeypatch):
    """No log-in can be looked up."""

    def down(*_, **__):
        raise DatabaseDown("The database cannot be used; nothing was stored.")

    monkeypatch.setattr(accounts, "session_of", down)
    monkeypatch.setattr(accounts, "check", down)
    return desk


async def test_a_call_gets_the_contracts_error(away):
    response = await away.client(away.agent).get("/api/v1/queue")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_stored")
    assert response.headers["retry-after"] == "5"


async def test_a_page_says_what_is_the_matter_and_keeps_the_cookie(away):
    response = await away.client(Cookie=f"{COOKIE}=a-token").get("/cases")
    assert response.status_code == 503
    assert "暂时连不上数据库" in response.text
    assert "Traceback" not in response.text
    assert "set-cookie" not in response.headers


async def test_logging_in_is_refused_in_words(away):
    response = await away.client().post("/login", json={"username": "agent", "password": PASSWORD})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_stored")


async def test_who_only_reads_is_not_refused_for_a_lock(desk):
    client = desk.client(desk.agent)
    holder = sqlite3.connect(str(make_url(desk.config.database).database), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        # That they were here cannot be noted.
        assert (await client.get("/api/v1/queue")).status_code == 200
    finally:
        holder.execute("ROLLBACK")
        holder.close()
