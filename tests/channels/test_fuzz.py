"""Whatever is sent, the gateway never fails, and the log keeps its order."""

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["/restart", "电梯困人了", "人工", "\u202e倒", "<b>", "13904321187", "👩‍👩‍👧", "ﷺ" * 9, "\x00", "\ud800"]
)
BODY = st.one_of(
    st.fixed_dictionaries({"client_message_id": st.uuids().map(str), "text": TEXT}),
    st.fixed_dictionaries(
        {"client_message_id": TEXT | st.uuids().map(str)},
        optional={"text": TEXT | JSON, "choice": TEXT | JSON},
    ),
    JSON,
)
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(body=BODY)
async def test_any_json_gets_an_answer_or_a_clear_error(hotline, body):
    talk = await hotline.open()
    headers = talk.headers | {"content-type": "application/json"}
    response = await hotline.http.post(f"{talk.path}/messages", content=json.dumps(body), headers=headers)
    log = await talk.log()
    assert [m["seq"] for m in log] == list(range(1, len(log) + 1))
    if response.status_code == 200:
        assert [r["text"] for r in response.json()["replies"]] == [m["text"] for m in log[2:]] != []
    else:
        assert response.status_code in (413, 422)
        assert set(response.json()["error"]) == {"code", "message", "request_id"}
        assert len(log) == 1


@QUIET
@given(
    content=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=x", "a/b", ""]),
)
async def test_any_bytes_get_a_clear_error(hotline, content, kind):
    talk = await hotline.open()
    headers = talk.headers | {"content-type": kind}
    response = await hotline.http.post(f"{talk.path}/messages", content=content, headers=headers)
    assert response.status_code == 422
    assert len(await talk.log()) == 1


@QUIET
@given(token=st.text(st.characters(max_codepoint=255), max_size=40), name=st.text(max_size=40))
async def test_any_token_and_any_name_are_refused(hotline, token, name):
    talk = await hotline.open()
    headers = {b"authorization": b"Bearer " + token.encode("latin-1")}
    for place in (talk.id, quote(name, safe="")):
        response = await hotline.http.get(f"/api/v1/conversations/{place}/messages", headers=headers)
        assert response.status_code in (401, 404)
