"""Satisfaction with a conversation, and thumbs on an answer."""

import asyncio

import pytest
from sqlalchemy import select, text

from bot.conversations.models import Feedback, Rating


def rows(hotline, table):
    with hotline.readers() as session:
        return list(session.scalars(select(table)))


async def post(talk, path, body):
    return await talk.http.post(f"{talk.path}/{path}", json=body, headers=talk.headers)


async def test_a_rating_is_one_a_conversation_and_can_be_changed(hotline, clock):
    talk = await hotline.open()
    response = await post(talk, "rating", {"score": 2, "comment": " 电话13904321187没人接 "})
    assert (response.status_code, response.content) == (204, b"")
    [row] = rows(hotline, Rating)
    assert (row.conversation_id, row.score, row.comment) == (talk.id, 2, "电话139****1187没人接")
    assert row.created_at == clock()
    with hotline.readers() as session:
        assert b"139****" not in bytes(session.execute(text("SELECT comment FROM ratings")).scalar_one())
    assert (await post(talk, "rating", {"score": 5})).status_code == 204
    [row] = rows(hotline, Rating)
    assert (row.score, row.comment) == (5, None)
    await asyncio.gather(*(post(talk, "rating", {"score": n}) for n in (1, 3, 4)))
    assert [r.score in (1, 3, 4) for r in rows(hotline, Rating)] == [True]


@pytest.mark.parametrize(
    "body",
    [{}, {"score": 0}, {"score": 6}, {"score": "5"}, {"score": 4.5}, {"score": True}, {"score": 5, "x": 1},
     {"score": 5, "comment": "字" * 501}, {"score": 5, "comment": None}, [], "5"],
)  # fmt: skip
async def test_a_rating_that_is_none_is_refused(hotline, body):
    talk = await hotline.open()
    assert (await post(talk, "rating", body)).status_code == 422
    assert rows(hotline, Rating) == []


async def test_strange_characters_in_a_comment_are_left_out(hotline):
    talk = await hotline.open()
    body = b'{"score": 4, "comment": "\\u0000\\u597d\\u0000"}'
    headers = talk.headers | {"content-type": "application/json"}
    response = await talk.http.post(f"{talk.path}/rating", content=body, headers=headers)
    assert response.status_code == 204
    assert rows(hotline, Rating)[0].comment == "好"


async def test_thumbs_are_one_an_answer_and_can_be_changed(hotline):
    talk = await hotline.open()
    await talk.say("你好")
    for helpful in (True, False):
        assert (await post(talk, "messages/3/feedback", {"helpful": helpful})).status_code == 204
    [row] = rows(hotline, Feedback)
    assert (row.conversation_id, row.seq, row.helpful) == (talk.id, 3, False)


@pytest.mark.parametrize(("seq", "status"), [(2, 404), (9, 404), (0, 422), (2**31, 422), ("x", 422)])
async def test_only_an_answer_of_the_bot_has_thumbs(hotline, seq, status):
    talk = await hotline.open()
    await talk.say("你好")
    assert (await post(talk, f"messages/{seq}/feedback", {"helpful": True})).status_code == status
    assert rows(hotline, Feedback) == []


@pytest.mark.parametrize("body", [{}, {"helpful": "yes"}, {"helpful": 1}, {"helpful": None}])
async def test_thumbs_are_yes_or_no(hotline, body):
    talk = await hotline.open()
    assert (await post(talk, "messages/1/feedback", body)).status_code == 422


async def test_only_the_token_of_the_conversation_may_judge(hotline):
    talk, other = await hotline.open(), await hotline.open()
    talk.token = other.token
    assert (await post(talk, "rating", {"score": 1})).status_code == 401
    assert (await post(talk, "messages/1/feedback", {"helpful": True})).status_code == 401
    assert rows(hotline, Rating) + rows(hotline, Feedback) == []
