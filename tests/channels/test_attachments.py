"""Attachments: pictures and PDFs by content, sealed on the disk, told in the log, never handed out again."""

import asyncio
import stat
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from bot.channels.attachments import OVERHEAD
from bot.conversations import attachments
from bot.conversations.models import Attachment, Conversation
from bot.crypto import Tampered
from bot.errors import HotlineError


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size=0):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"tEXt", b"Comment\0" + b"x" * size)
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + b"\x01" * 64 + b"\xff\xd9"
WEBP = (
    b"RIFF"
    + struct.pack("<I", 4 + 8 + 10)
    + b"WEBPVP8 "
    + struct.pack("<I", 10)
    + b"\x30\x01\x00\x9d\x01\x2a\x01\x00\x01\x00"
)
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
GOOD = {"image/png": png(), "image/jpeg": JPEG, "image/webp": WEBP, "application/pdf": PDF}


async def give(talk, data, name="小票.png", key="picture-1", kind="application/octet-stream", **more):
    return await talk.http.post(
        f"{talk.path}/attachments",
        files={"file": (name, data, kind)},
        data={"client_message_id": key} if key else {},
        headers=talk.headers,
        **more,
    )


def stored(hotline):
    folder = hotline.config.home_dir / "attachments"
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("kind", GOOD)
async def test_a_file_is_stored_sealed_and_told_in_the_log(hotline, kind):
    talk = await hotline.open()
    # What the sender says about the type counts for nothing.
    response = await give(talk, GOOD[kind], name="小票", kind="text/html")
    assert response.status_code == 201
    body = response.json()
    assert (body["name"], body["type"]) == ("小票" + attachments.ENDINGS[kind], kind)
    assert body["size"] == len(GOOD[kind])
    [path] = stored(hotline)
    assert path.name == body["attachment_id"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert GOOD[kind] not in path.read_bytes()
    with hotline.readers() as session:
        row, data = attachments.read(session, body["attachment_id"], config=hotline.config)
        assert (row.media_type, row.size, data) == (kind, len(GOOD[kind]), GOOD[kind])
        assert [a.id for a in attachments.of_conversation(session, talk.id)] == [row.id]
    message, told = (await talk.log())[1:]
    assert message == body["message"]
    assert (message["author"], message["client_message_id"]) == ("user", "picture-1")
    assert message["attachments"] == [attachments.as_json(row)]
    assert told["author"] == "system" and row.name in told["text"]
    # A file is no question.
    assert hotline.engine.calls == []
    await hotline.turns.resume()
    assert hotline.engine.calls == []


async def test_a_person_who_owns_the_conversation_is_not_spoken_over(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        session.get_one(Conversation, talk.id).owner = "person"
    assert (await give(talk, png())).status_code == 201
    assert [m["author"] for m in await talk.log()] == ["bot", "user"]


async def test_the_buttons_of_the_last_question_stay_after_a_file(hotline):
    talk = await hotline.open()
    await give(talk, png())
    choice = talk.greeting["choices"][0]
    response = await talk.send(choice=choice["id"])
    assert response.json()["message"]["text"] == choice["label"]


async def test_the_same_delivery_is_stored_once(hotline):
    talk = await hotline.open()
    first, second = await give(talk, png()), await give(talk, png())
    assert first.json() == second.json()
    both = await asyncio.gather(*(give(talk, JPEG, key="picture-2") for _ in range(4)))
    assert len({r.json()["attachment_id"] for r in both}) == 1
    assert len(stored(hotline)) == 2
    assert len(await talk.log()) == 1 + 2 * 2


async def test_an_id_of_a_message_of_words_is_refused(hotline):
    talk = await hotline.open()
    await talk.send("你好", message_id="picture-1")
    response = await give(talk, png())
    assert (response.status_code, response.json()["error"]["code"]) == (422, "malformed")
    assert stored(hotline) == []


BAD = {
    "empty": b"",
    "words": "这不是图片".encode(),
    "page": b"<!doctype html><script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    "zip": b"PK\x03\x04" + b"\0" * 60,
    "program": b"\x7fELF" + b"\0" * 60,
    "half a png": png()[:-20],
    "half a jpeg": JPEG[:-2],
    "half a webp": WEBP[:-4],
    "half a pdf": PDF[:-7],
    "only the mark of a pdf": b"%PDF-1.4",
}


@pytest.mark.parametrize("name", BAD)
async def test_anything_else_is_refused_and_leaves_nothing(hotline, name):
    talk = await hotline.open()
    response = await give(talk, BAD[name], name="小票.jpg", kind="image/jpeg")
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported")
    assert stored(hotline) == []
    assert len(await talk.log()) == 1


async def test_a_file_that_is_too_large_is_refused_before_and_after_it_is_read(make_hotline):
    hotline = make_hotline(attachment_bytes=4096)
    talk = await hotline.open()
    most = 4096 - len(png())
    assert (await give(talk, png(most), key="fits-exactly")).status_code == 201
    for size in (most + 1, 4096 + OVERHEAD, 200_000):
        response = await give(talk, png(size), key=f"too-large-{size}")
        assert (response.status_code, response.json()["error"]["code"]) == (413, "file_too_large")
    assert len(stored(hotline)) == 1


async def test_an_undeclared_body_over_the_limit_is_cut_off(make_hotline):
    hotline = make_hotline(attachment_bytes=4096)

    async def endless():
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        for _ in range(500):
            yield b"x" * 8192

    async with hotline.served() as client:
        opened = (await client.post("/api/v1/conversations", json={"channel": "widget"})).json()
        path = f"/api/v1/conversations/{opened['conversation_id']}"
        headers = {
            "Authorization": f"Bearer {opened['token']}",
            "Content-Type": "multipart/form-data; boundary=x",
        }
        response = await client.post(f"{path}/attachments", content=endless(), headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "file_too_large")


async def test_a_large_body_is_let_through_for_this_route_only(hotline):
    talk = await hotline.open()
    assert (await give(talk, png(300_000))).status_code == 201
    response = await talk.send("字" * 40_000)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    for path in (f"{talk.path}/attachments/", f"{talk.path}/messages", "/api/v1/conversations"):
        response = await talk.http.post(path, content=b"x" * 300_000, headers=talk.headers)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


async def test_so_many_files_and_no_more(make_hotline):
    hotline = make_hotline(attachments_per_conversation=2)
    talk = await hotline.open()
    codes = [(await give(talk, png(), key=f"picture-{n}")).status_code for n in range(4)]
    assert codes == [201, 201, 422, 422]
    assert (await give(talk, png(), key="picture-0")).status_code == 201  # a delivery of before
    assert (await give(await hotline.open(), png())).status_code == 201  # another conversation
    assert len(stored(hotline)) == 3


async def test_only_the_token_of_the_conversation_may_give(hotline):
    talk, other = await hotline.open(), await hotline.open()
    files = {"file": ("a.png", png())}
    for headers, status in ((other.headers, 401), ({}, 401)):
        response = await talk.http.post(f"{talk.path}/attachments", files=files, headers=headers)
        assert response.status_code == status
    unknown = talk.path.replace(talk.id, "nobody")
    assert (
        await talk.http.post(f"{unknown}/attachments", files=files, headers=talk.headers)
    ).status_code == 404
    assert stored(hotline) == []


async def test_a_citizen_cannot_fetch(hotline):
    talk = await hotline.open()
    given = (await give(talk, png())).json()["attachment_id"]
    for path in ("attachments", f"attachments/{given}", f"../../../attachments/{given}"):
        response = await talk.http.get(f"{talk.path}/{path}", headers=talk.headers)
        assert response.status_code in (404, 405)
    assert (await talk.http.get(f"/static/../../var/attachments/{given}")).status_code == 404


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\我\\小票.PNG", "小票.PNG"),
        ("小票\u202egnp.exe", "小票gnp.exe.png"),
        ("a\r\nSet-Cookie: x.png", "aSet-Cookie_ x.png"),
        (".png", "附件.png"),
        ("...", "附件.png"),
        ("超" * 300 + ".png", "超" * 76 + ".png"),
        ("发票.jpg", "发票.jpg.png"),
    ],
)
def test_names_are_harmless(given, kept):
    assert attachments.safe_name(given, "image/png") == kept
    assert len(attachments.safe_name(given, "image/png")) <= attachments.MAX_NAME


async def test_a_file_changed_on_the_disk_or_put_in_anothers_place_does_not_open(hotline):
    talk = await hotline.open()
    await give(talk, png(), key="picture-1")
    await give(talk, JPEG, key="picture-2")
    one, other = stored(hotline)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with hotline.readers() as session:
        for path in (one, other):
            with pytest.raises(Tampered):
                attachments.read(session, path.name, config=hotline.config)
        other.unlink()
        for name in (other.name, "nobody"):
            with pytest.raises(HotlineError):
                attachments.read(session, name, config=hotline.config)


async def test_a_file_whose_line_is_not_stored_is_removed(hotline, monkeypatch):
    talk = await hotline.open()

    def fails(*_, **__):
        raise OperationalError("no", {}, Exception("disk"))

    monkeypatch.setattr("bot.channels.attachments.log.append", fails)
    assert (await give(talk, png())).status_code in (500, 503)
    assert stored(hotline) == []
    with hotline.readers() as session:
        assert session.scalars(select(Attachment)).all() == []
    monkeypatch.undo()


async def test_files_count_against_the_rate_limit(make_hotline):
    hotline = make_hotline(rate_limits="on", messages_per_minute=2)
    talk = await hotline.open()
    codes = [(await give(talk, png(), key=f"picture-{n}")).status_code for n in range(3)]
    assert codes == [201, 201, 429]


FORMS = st.sampled_from(["multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=",
                         "application/json", "", "multipart/form-data; boundary=x; charset=nonsense"])  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=FORMS,
    content=st.binary(max_size=300)
    | st.builds(
        lambda name, file, data: (
            b'--x\r\nContent-Disposition: form-data; name="'
            + name
            + b'"; filename="'
            + file
            + b'"\r\n\r\n'
            + data
            + b"\r\n--x--\r\n"
        ),
        st.sampled_from([b"file", b"other", b"\xff"]),
        st.binary(max_size=20),
        st.sampled_from(sorted(GOOD.values())) | st.binary(max_size=40),
    ),
)
async def test_whatever_is_sent_gets_a_clear_answer(hotline, kind, content):
    talk = await hotline.open()
    headers = talk.headers | {"content-type": kind}
    response = await hotline.http.post(f"{talk.path}/attachments", content=content, headers=headers)
    assert response.status_code in (201, 413, 415, 422), response.text
    if response.status_code != 201:
        assert set(response.json()["error"]) == {"code", "message", "request_id"}
        assert len(await talk.log()) == 1


async def test_files_go_with_the_case_that_is_lodged_and_later_ones_too(hotline):
    from bot.cases.models import CaseType
    from bot.cases.store import Part, open_draft, submit
    from bot.conversations import attachments

    talk = await hotline.open()
    await give(talk, png(), key="picture-1")

    def lodge(message_id):
        with hotline.sessions.begin() as session:
            draft = open_draft(session, talk.id, now=hotline.clock())
            part = Part(CaseType.COMPLAINT, {"phone": "13904321187", "facts": "口罩一撕就破"})
            [case] = submit(
                session, draft, parts=[part], message_id=message_id, channel="widget", now=hotline.clock()
            )
            attachments.join_case(session, talk.id, case.number)
            return case.number

    first = lodge("m1")
    hotline.clock.advance(seconds=1)
    await give(talk, png(), key="picture-2")
    hotline.clock.advance(seconds=1)
    with hotline.sessions.begin() as session:
        open_draft(session, talk.id, now=hotline.clock())
    await give(talk, png(), key="picture-3")
    with hotline.readers() as session:
        found = [a.case_number for a in attachments.of_conversation(session, talk.id)]
    assert found == [first, first, None]
    second = lodge("m2")
    with hotline.readers() as session:
        found = [a.case_number for a in attachments.of_conversation(session, talk.id)]
    assert found == [first, first, second]
