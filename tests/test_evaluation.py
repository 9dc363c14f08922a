"""`hotline eval` against a fake instance: every rule of scoring, every failure, floors, the page."""

import asyncio
import email.utils
import json
import re
import time
from pathlib import Path

import httpx
import pytest
import yaml

from bot.evaluation import command
from bot.evaluation.asking import Caller, InstanceNotReady, Outcome, ask_all, is_empty, retry_after
from bot.evaluation.floors import check_floors, raise_floors, read_floors
from bot.evaluation.metrics import Share, by_slice, flat, kind_confusion, measure_confusion, shares
from bot.evaluation.samples import FormatError, parse_measures, read, unescape

HEADER = "id\tset\tkind\tmeasures\tstyle\ttext"
FACET_HEADER = "id\tmeasure\tfacet\tquestion\tmust_contain\tmust_not_contain"


def answer(kind, measures=(), *, specified=True, options=(), text="答复第一行\n第二行", **more):
    """A reply as the contract gives it."""
    payload = {"kind": kind, "measures": list(measures), "specified": specified}
    payload["options"] = [{"measures": list(o)} for o in options]
    return {"seq": 2, "author": "bot", "text": text, "answer": payload, **more}


def policy(*measures, **known):
    return answer("policy", measures, **known)


def error(status, code="internal", **headers):
    return httpx.Response(status, json={"error": {"code": code, "message": "…"}}, headers=headers)


class Hotline:
    """A fake instance: text → list of replies, a response, an exception, or a list of such, one per call."""

    def __init__(self, said, *, ready=200, opening=None):
        self.said, self.ready, self.opening = said, ready, list(opening or [])
        self.conversations = 0
        self.sent = []  # (conversation, client_message_id, text)

    def __call__(self, request):
        if request.url.path == "/readyz":
            return httpx.Response(self.ready, json={"engine": self.ready == 200})
        body = json.loads(request.content)
        if request.url.path == "/api/v1/conversations":
            assert body == {"channel": "widget"}
            if self.opening:
                return self.opening.pop(0)
            self.conversations += 1
            opened = {"conversation_id": f"c{self.conversations}", "token": f"t{self.conversations}"}
            return httpx.Response(201, json=opened | {"messages": []})
        conversation = re.fullmatch(r"/api/v1/conversations/c(\d+)/messages", request.url.path)[1]
        assert request.headers["authorization"] == f"Bearer t{conversation}"
        self.sent.append((conversation, body["client_message_id"], body["text"]))
        out = self.said[body["text"]]
        if isinstance(out, tuple):
            out = out[sum(text == body["text"] for _, _, text in self.sent) - 1]
        if isinstance(out, Exception):
            raise out
        if isinstance(out, httpx.Response):
            return out
        return httpx.Response(200 if out else 202, json={"message": {}, "replies": out})

    @property
    def transport(self):
        return httpx.MockTransport(self)


@pytest.fixture
def naps():
    return []


@pytest.fixture
def ask(tmp_path, naps):
    """Write rows (kind, measures, style, text) and score them against what a fake instance says."""

    async def sleep(seconds):
        naps.append(seconds)

    def run(rows, said, **known):
        path = write_messages(tmp_path, rows)
        hotline = said if isinstance(said, Hotline) else Hotline(said, **known)
        return command.measure([path], url="http://fake", transport=hotline.transport, sleep=sleep)[0]

    return run


def write_messages(folder, rows, name="messages.tsv"):
    lines = [f"d{n}\tchat\t{kind}\t{m}\t{style}\t{text}" for n, (kind, m, style, text) in enumerate(rows)]
    path = folder / name
    path.write_bytes("\n".join([HEADER, *lines, ""]).encode())
    return path


def marks(ask, kind, measures, replies, style="short"):
    """The marks of one row that is answered with these replies, or this response."""
    return ask([(kind, measures, style, "问")], {"问": replies}).rows[0].marks


# -- reading -----------------------------------------------------------------------


def test_escapes_of_injection_rows_only(tmp_path):
    rows = [
        ("oos", "", "injection", r"A\u0000B\x1b\ud83d\ude00\udead\U0001f600"),
        ("oos", "", "short", r"\u0041"),
    ]
    injected, plain = (thread[0].text for thread in read(write_messages(tmp_path, rows)).threads)
    assert injected == "A\x00B\x1b😀\udead😀"
    assert plain == r"\u0041"
    assert unescape(r"\Uffffffff \u12") == r"\Uffffffff \u12"


def test_no_quoting_and_no_other_line_ends(tmp_path):
    path = write_messages(tmp_path, [("oos", "", "short", '"半个引号\u2028\x0b不换行\t制表')])
    assert [t[0].text for t in read(path).threads] == ['"半个引号\u2028\x0b不换行\t制表']


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = tmp_path / "m.tsv"
    path.write_bytes(f"\ufeff{HEADER}\r\nd0\tchat\toos\t\tshort\t问\r\n".encode())
    assert read(path).threads[0][0].text == "问"


def test_alternatives_of_measures():
    assert parse_measures("4,5|9") == (frozenset({4, 5}), frozenset({9}))
    assert parse_measures(" ") == ()
    for wrong in ("17", "0", "四", "4,"):
        with pytest.raises(ValueError):
            parse_measures(wrong)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.tsv", "a\tb\n", "first line"),
        ("m.tsv", f"{HEADER}\nd0\tchat\toos\n", "line 2: 3 columns"),
        ("m.tsv", f"{HEADER}\n\nd0\tchat\tpolicy\t77\tshort\t问\n", "line 3: '77'"),
        ("m.tsv", f"{HEADER}\nd0\tchat\tpolicy\t\tshort\t问\n", "names no measure"),
        ("f.tsv", f"{FACET_HEADER}\nf\t1\tcost\t问\t\t\n", "must_contain is empty"),
        ("f.tsv", f"{FACET_HEADER}\nf\tx\tcost\t问\t答\t\n", "line 2"),
        ("d.yml", "dialogues: [{id: d1, turns: [{user: 问}]}]", "expect"),
        ("d.yml", "nothing", "d.yml"),
        ("d.yml", "dialogues: [", "d.yml"),
    ],
)
def test_a_wrong_file_says_where(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=re.escape(says)):
        read(tmp_path / name)


def test_a_missing_or_binary_file(tmp_path):
    (tmp_path / "b.tsv").write_bytes(b"\xff\xfe\x00")
    for name in ("none.tsv", "b.tsv"):
        with pytest.raises(FormatError, match="cannot be read"):
            read(tmp_path / name)


# -- scoring messages -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("policy", "policy", True),
        ("policy_facet", "policy", True),
        ("policy", "notice", False),
        ("policy", "clarify", False),
        ("meta", "notice", True),
        ("meta", "policy", False),
        ("oos", "fallback", True),
        ("oos", "chitchat", True),
        ("oos", "handoff", False),
        ("complaint", "complaint", True),
        ("complaint", "intake", False),
        ("report", "report", True),
        ("suggestion", "complaint", False),
        ("status", "status", True),
        ("handoff", "handoff", True),
        ("emergency", "emergency", True),
        ("chitchat", "fallback", False),
    ],
)
def test_kind(ask, expected, given, right):
    measures = "9" if expected.startswith("policy") else ""
    assert marks(ask, expected, measures, [answer(given)])["kind"] is right


def test_kind_is_that_of_the_first_reply_with_an_answer(ask):
    replies = [{"author": "bot", "text": "您好"}, answer("handoff"), policy(9)]
    given = marks(ask, "handoff", "", replies)
    assert given["kind"]


@pytest.mark.parametrize(
    ("wanted", "given", "exact", "hit"),
    [
        ("9", [9], True, True),
        ("4,9", [9, 4], True, True),
        ("4,9", [4], False, True),
        ("9", [9, 4], False, True),
        ("9", [4], False, False),
        ("9", [], False, False),
        ("5|4", [4], True, True),
        ("5|4", [5], True, True),
        ("5|4", [4, 5], False, True),
        ("11,12|13", [13], True, True),
        ("11,12|13", [11, 13], False, True),
        ("9", [9, 15], False, True),
    ],
)
def test_measures(ask, wanted, given, exact, hit):
    result = marks(ask, "policy", wanted, [policy(*given)])
    assert (result["exact"], result["any_hit"]) == (exact, hit)


@pytest.mark.parametrize(
    ("wanted", "given", "exact"),
    [
        ("7,10", [7, 10, 1, 14, 15, 16], True),
        ("7,10", [7, 10, 12], False),
        ("7,10", [7, 1], False),
        ("7,14", [7, 15], False),
    ],
)
def test_broad_questions_forgive_general_measures(ask, wanted, given, exact):
    assert marks(ask, "policy", wanted, [policy(*given)], style="broad")["exact"] is exact


def test_measures_of_all_replies_count(ask):
    assert marks(ask, "policy", "4,8", [policy(4), policy(8)])["exact"]


@pytest.mark.parametrize(
    ("options", "assisted"),
    [
        ([[4], [5]], True),
        ([[4], [5], []], True),
        ([[7], [8]], False),
        ([[4], [5], [6], [7]], False),
        ([], False),
    ],
)
def test_assisted_is_apart(ask, options, assisted):
    row = ask([("policy", "5|9", "short", "问")], {"问": [answer("clarify", options=options)]}).rows[0]
    result = row.marks
    assert ("right one offered" in row.reasons) is assisted
    assert result["assisted"] is assisted
    assert not (result["kind"] or result["exact"] or result["any_hit"] or result["false_refusal"])


def test_false_answer(ask):
    assert marks(ask, "oos", "", [policy(7)])["false_answer"]
    assert marks(ask, "oos", "", [answer("fallback"), policy(7)])["false_answer"]
    for innocent in (answer("fallback"), answer("clarify", [7], options=[[7]]), answer("chitchat")):
        assert not marks(ask, "oos", "", [innocent])["false_answer"]
    assert "false_answer" not in marks(ask, "chitchat", "", [policy(7)])


def test_false_refusal(ask):
    assert marks(ask, "policy", "9", [answer("fallback")])["false_refusal"]
    assert marks(ask, "policy_facet", "9", [answer("fallback")])["false_refusal"]
    assert not marks(ask, "policy", "9", [answer("handoff")])["false_refusal"]
    assert "false_refusal" not in marks(ask, "oos", "", [answer("fallback")])


def test_not_specified(ask):
    assert marks(ask, "policy_facet", "9", [policy(9, specified=False)])["unspecified_said"]
    assert not marks(ask, "policy_facet", "9", [policy(9)])["unspecified_said"]
    assert not marks(ask, "policy_facet", "9", [answer("fallback", specified=False)])["unspecified_said"]
    assert marks(ask, "policy", "9", [policy(9, specified=False)])["wrongly_denied"]
    assert not marks(ask, "policy", "9", [policy(9)])["wrongly_denied"]


def test_emergency_found_and_false_alarm(ask):
    assert marks(ask, "emergency", "", [answer("emergency")])["emergency_found"]
    assert not marks(ask, "emergency", "", [answer("complaint")])["emergency_found"]
    assert marks(ask, "chitchat", "", [answer("emergency")])["false_alarm"]


# -- failures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ([], "no reply"),
        ([{"author": "user", "text": "问"}], "no reply"),
        ([{"author": "bot", "text": "嗯"}], "no reply carries an answer"),
        (error(500), "HTTP 500 internal"),
        (error(422, "malformed"), "HTTP 422 malformed"),
        (error(413, "too_long"), "HTTP 413 too_long"),
        (httpx.Response(502, text="bad gateway"), "HTTP 502 bad gateway"),
        (httpx.Response(200, text="<html>"), "no usable response"),
        (httpx.Response(200, json={"replies": "x"}), "no list of replies"),
        (httpx.Response(200, json=[1]), "no list of replies"),
        (httpx.ReadTimeout("late"), "no usable response"),
    ],
)
def test_a_row_without_a_usable_reply_fails_with_its_reason(ask, out, reason):
    first, second = ask(
        [("policy", "9", "short", "问"), ("oos", "", "short", "别的")],
        {"问": out, "别的": [answer("fallback")]},
    ).rows
    assert first.wrong and first.marks["failed"] and not first.marks["kind"]
    assert reason in first.reasons[0]
    assert not second.wrong


@pytest.mark.parametrize(
    "payload",
    [
        {"kind": None},
        {"kind": "policy", "measures": None},
        {"kind": "policy", "measures": ["x", [1]]},
        {"kind": "clarify", "options": "x"},
        {"kind": "clarify", "options": [None, {"measures": 4}]},
    ],
)
def test_malformed_answers_are_wrong_and_no_crash(ask, payload):
    row = ask([("policy", "9", "short", "问")], {"问": [{"text": None, "answer": payload}]}).rows[0]
    assert row.wrong and not row.marks["any_hit"]


def test_a_conversation_that_does_not_open_fails_its_row(ask):
    broken = [
        error(503, "not_stored"),
        httpx.Response(201, json={"token": "x"}),
        httpx.Response(201, text="x"),
    ]
    rows = [("oos", "", "short", "问")] * 4
    result = ask(rows, {"问": [answer("fallback")]}, opening=broken)
    assert sum(row.marks["failed"] for row in result.rows) == 3
    assert any("HTTP 503 not_stored" in row.reasons[0] for row in result.wrong)


def test_a_message_that_is_empty_after_cleaning_may_be_refused(ask):
    empty = [("oos", "", "injection", r"\u0000\u200b \ufe0f")]
    assert not ask(empty, {"\x00\u200b \ufe0f": error(422, "empty")}).rows[0].wrong
    refused = ask([("policy", "9", "injection", r"\u0000")], {"\x00": error(422, "empty")}).rows[0]
    assert refused.marks["false_refusal"] and not refused.marks["failed"]
    assert not is_empty("\u200b嗯") and not is_empty("😡")


def test_a_message_over_the_contracts_length_may_be_refused(ask):
    long = "长" * 2001
    assert not ask([("oos", "", "injection", long)], {long: error(413, "too_long")}).rows[0].wrong


def test_a_lone_surrogate_reaches_the_instance(ask):
    hotline = Hotline({"\udead": [answer("fallback")]})
    assert not ask([("oos", "", "injection", r"\udead")], hotline).rows[0].wrong


def test_retry_after_is_honoured_with_the_same_message_id(ask, naps):
    busy = error(429, "too_many", **{"retry-after": "7"})
    hotline = Hotline({"问": (busy, [policy(9)])}, opening=[error(429, "too_many", **{"retry-after": "3"})])
    row = ask([("policy", "9", "short", "问")], hotline).rows[0]
    assert not row.wrong
    assert naps == [3.0, 7.0]
    assert len({identity for _, identity, _ in hotline.sent}) == 1


def test_patience_ends(ask, naps):
    row = ask(
        [("policy", "9", "short", "问")], {"问": error(429, "too_many", **{"retry-after": "120"})}
    ).rows[0]
    assert row.reasons[0] == "HTTP 429 too_many"
    assert naps == [120.0, 120.0]


def test_forms_of_retry_after():
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 20 < retry_after(httpx.Response(429, headers={"retry-after": date})) <= 30
    for value in ("0", "soon", "", "-5"):
        assert retry_after(httpx.Response(429, headers={"retry-after": value})) == 1.0


def test_each_row_is_its_own_conversation_and_message(ask):
    hotline = Hotline({"问": [policy(9)]})
    ask([("policy", "9", "short", "问")] * 5, hotline)
    assert hotline.conversations == 5
    assert len({conversation for conversation, _, _ in hotline.sent}) == 5
    assert len({identity for _, identity, _ in hotline.sent}) == 5


async def test_four_conversations_at_a_time():
    held, most = 0, 0

    class Counting(Caller):
        async def hold(self, texts):
            nonlocal held, most
            held += 1
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= 1
            return [Outcome(problem=text) for text in texts]

    done = []
    async with httpx.AsyncClient() as client:
        outcomes = await ask_all([[str(n)] for n in range(20)], Counting(client), lambda: done.append(1))
    assert most == 4 and len(done) == 20
    assert [thread[0].problem for thread in outcomes] == [str(n) for n in range(20)]


@pytest.mark.parametrize("known", [{"ready": 503}, {"ready": 404}])
def test_an_instance_that_is_not_ready_is_a_clear_error(ask, known):
    with pytest.raises(InstanceNotReady, match=f"not ready: /readyz says {known['ready']}"):
        ask([("oos", "", "short", "问")], {}, **known)


def test_no_instance_is_a_clear_error(tmp_path):
    def refuse(request):
        raise httpx.ConnectError("connection refused")

    path = write_messages(tmp_path, [("oos", "", "short", "问")])
    with pytest.raises(InstanceNotReady, match="No instance answers at http://fake"):
        command.run([path], url="http://fake", transport=httpx.MockTransport(refuse))


def test_the_address_comes_from_the_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(command.settings(), "port", 8123)
    path = write_messages(tmp_path, [("oos", "", "short", "问")])
    with pytest.raises(InstanceNotReady, match=r"http://127\.0\.0\.1:8123"):
        command.run([path], transport=Hotline({}, ready=503).transport)


# -- facets and dialogues -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("must", "must_not", "text", "right"),
    [
        ("变更 && 注销", "", "还能办变更登记\n和注销", True),
        ("变更 && 注销", "", "还能办变更", False),
        ("变更|改变 && 注销", "", "改变、注销", True),
        ("专人", "技术咨询", "有专人，提供技术咨询", False),
        ("专人", "技术咨询|零成本", "专人，零成本", False),
        ("专人", "技术咨询", "专人", True),
    ],
)
def test_facets(tmp_path, must, must_not, text, right):
    path = tmp_path / "facets.tsv"
    path.write_text(f"{FACET_HEADER}\nf1\t1\tdetail/scope\t问\t{must}\t{must_not}\n")
    hotline = Hotline({"问": [policy(1, text=text)]})
    result = command.measure([path], url="http://fake", transport=hotline.transport)[0]
    assert result.rows[0].marks["facets"] is right
    assert result.rows[0].wrong is not right
    assert "facet/detail/scope/facets" in flat(result)


def test_facets_read_all_replies_and_note_a_wrong_denial(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text(f"{FACET_HEADER}\nf1\t1\tcost\t问\t甲 && 乙\n")
    hotline = Hotline({"问": [policy(1, text="甲", specified=False), answer("policy", text="乙")]})
    row = command.measure([path], url="http://fake", transport=hotline.transport)[0].rows[0]
    assert row.marks["facets"] and row.marks["wrongly_denied"]


def dialogue(tmp_path, turns):
    """Score (kind, measures, reply) turns of one dialogue; returns the marks `turns`."""
    spoken = [
        {"user": f"话{n}", "expect": {"kind": kind, "measures": measures, "note": "…"}}
        for n, (kind, measures, _) in enumerate(turns)
    ]
    path = tmp_path / "dialogues.yml"
    path.write_text(yaml.safe_dump({"dialogues": [{"id": "d1", "tags": ["x"], "turns": spoken}]}))
    hotline = Hotline({f"话{n}": [given] for n, (_, _, given) in enumerate(turns)})
    result = command.measure([path], url="http://fake", transport=hotline.transport)[0]
    assert hotline.conversations == 1
    assert [text for _, _, text in hotline.sent] == [turn["user"] for turn in spoken]
    return [row.marks["turns"] for row in result.rows]


def test_dialogue_kinds(tmp_path):
    turns = [
        ("policy", [6], policy(6)),
        ("followup", [6], policy(6)),
        ("followup", [6], answer("clarify", options=[[6]])),
        ("policy", [1], policy(1, 2)),
        ("meta", [], answer("notice")),
        ("complaint", [], answer("complaint")),
        ("slot", [], answer("intake")),
        ("slot", [], answer("complaint")),
        ("correct", [], answer("receipt")),
        ("deny", [], answer("intake")),
        ("cancel", [], answer("intake")),
        ("cancel", [], answer("fallback")),
        ("emergency", [], answer("emergency")),
        ("unheard", [], answer("policy")),
    ]
    right = [True, True, False, False, True, True, True, True, False, True, True, False, True, False]
    assert dialogue(tmp_path, turns) == right


def test_confirmation_brings_the_receipt(tmp_path):
    assert dialogue(tmp_path, [("confirm", [], answer("receipt"))]) == [True]
    assert dialogue(tmp_path, [("confirm", [], answer("intake"))]) == [False]
    again = [("confirm", [], answer("intake")), ("policy", [1], policy(1))]
    assert dialogue(tmp_path, again) == [False, True]


def test_a_confirmation_inside_an_intake_may_be_followed_by_a_question(tmp_path):
    turns = [
        ("confirm", [], answer("intake")),
        ("slot", [], answer("intake")),
        ("confirm", [], answer("receipt")),
    ]
    assert dialogue(tmp_path, turns) == [True, True, True]


def test_a_failed_turn_does_not_end_the_dialogue(tmp_path):
    path = tmp_path / "d.yml"
    turns = [{"user": text, "expect": {"kind": "chitchat"}} for text in ("甲", "乙")]
    path.write_text(yaml.safe_dump({"dialogues": [{"id": "d1", "turns": turns}]}))
    hotline = Hotline({"甲": error(500), "乙": [answer("chitchat")]})
    rows = command.measure([path], url="http://fake", transport=hotline.transport)[0].rows
    assert [row.marks["turns"] for row in rows] == [False, True]


# -- figures -----------------------------------------------------------------------


def mixed(ask):
    rows = [
        ("policy", "4|5", "short", "甲"),
        ("policy", "9,13", "multi", "乙"),
        ("policy_facet", "9", "asr", "丙"),
        ("oos", "", "nearmiss", "丁"),
        ("meta", "", "short", "戊"),
    ]
    said = {
        "甲": [policy(5)],
        "乙": [policy(9, 7)],
        "丙": [answer("clarify", options=[[9], [4]])],
        "丁": [policy(7, debug={"scores": {"7": 0.61}, "reasons": ["<近似>"]})],
        "戊": [],
    }
    return ask(rows, said)


def test_shares_and_slices(ask):
    result = mixed(ask)
    found = {name: (share.count, share.total) for name, share in shares(result.rows).items()}
    assert found == {
        "kind": (2, 5),
        "exact": (1, 3),
        "any_hit": (2, 3),
        "assisted": (1, 3),
        "false_answer": (1, 1),
        "false_refusal": (0, 3),
        "unspecified_said": (0, 1),
        "wrongly_denied": (0, 2),
        "false_alarm": (0, 5),
        "failed": (1, 5),
    }
    assert list(by_slice(result, "measure")) == ["4", "5", "9", "13"]
    assert by_slice(result, "measure")["9"]["any_hit"] == Share(1, 2)
    assert flat(result)["style/asr/exact"] == Share(0, 1)
    assert flat(result)["set/chat/kind"] == Share(2, 5)


def test_confusion(ask):
    result = mixed(ask)
    assert kind_confusion(result) == {
        ("policy", "policy"): 2,
        ("policy", "clarify"): 1,
        ("oos", "policy"): 1,
        ("notice", "none"): 1,
    }
    assert measure_confusion(result) == {
        ("5", "5"): 1,
        ("9", "9"): 1,
        ("13", "7"): 1,
        ("9", "clarify"): 1,
        ("none", "7"): 1,
    }


def test_confusion_forgives_general_measures_of_broad_questions(ask):
    broad = ask([("policy", "7", "broad", "问")], {"问": [policy(7, 15, 12)]})
    assert measure_confusion(broad) == {("7", "7"): 1, ("none", "12"): 1}


def test_wilson_interval():
    low, high = Share(8, 10).interval
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)  # Wilson 1927; as statsmodels gives it
    assert Share(0, 5).interval[0] == 0.0 and Share(5, 5).interval[1] == 1.0


# -- floors -----------------------------------------------------------------------


def floors_file(folder, **named):
    path = folder / "floors.yml"
    path.write_text(yaml.safe_dump({"messages": named}))
    return path


def test_floors_that_hold_and_that_break(ask, tmp_path):
    result = mixed(ask)
    holds = {"kind": 0.4, "any_hit": 2 / 3, "false_answer": 1.0, "failed": 0.2, "style/short/exact": 1.0}
    assert check_floors([result], floors_file(tmp_path, **holds)) == []
    broken = check_floors([result], floors_file(tmp_path, kind=0.5, false_answer=0.08))
    assert broken == [
        "messages: false_answer is 100.0% (1 of 1), over its ceiling of 8.0%.",
        "messages: kind is 40.0% (2 of 5), under its floor of 50.0%.",
    ]


def test_a_floor_that_nothing_measures_is_broken(ask, tmp_path):
    path = floors_file(tmp_path, **{"style/elder/kind": 0.9})
    assert "no row measures it" in check_floors([mixed(ask)], path)[0]


@pytest.mark.parametrize(
    "content",
    [
        "messages: {kindd: 0.5}",
        "messages: {kind: 85}",
        "messages: [1]",
        "a: {kind: x}",
        "messages: {assisted: 0.5}",
        "{",
    ],
)
def test_wrong_floors_are_a_clear_error(tmp_path, content):
    (tmp_path / "floors.yml").write_text(content)
    with pytest.raises(FormatError, match=r"floors\.yml"):
        read_floors(tmp_path / "floors.yml")
    with pytest.raises(FormatError):
        read_floors(tmp_path / "none.yml")


def test_floors_only_rise(ask, tmp_path):
    path = floors_file(
        tmp_path, kind=0.3, any_hit=0.9, false_refusal=0.08, failed=0.1, **{"style/short/exact": 0.5}
    )
    changes = raise_floors([mixed(ask)], path)
    floors = read_floors(path)["messages"]
    assert floors["kind"] == 0.395  # raised to half a point under what was measured
    assert floors["any_hit"] == 0.9  # measured 0.67: stays
    assert floors["false_refusal"] == 0.005  # a ceiling comes down
    assert floors["failed"] == 0.1  # measured 0.2: stays
    assert floors["style/short/exact"] == 0.995  # a slice that is named is raised too
    assert floors["exact"] == 0.328  # a headline figure is guarded from now on
    assert "assisted" not in floors and "style/asr/kind" not in floors
    assert "messages: kind 0.3 → 0.395" in changes
    before = path.read_text()
    assert raise_floors([mixed(ask)], path) == []
    assert path.read_text() == before


def test_floors_of_other_files_stay(ask, tmp_path):
    path = tmp_path / "floors.yml"
    path.write_text("facets: {facets: 0.75}\n")
    raise_floors([mixed(ask)], path)
    assert read_floors(path)["facets"] == {"facets": 0.75}


def test_a_run_holds_the_floors_it_has_set(ask, tmp_path):
    result = ask(
        [("oos", "", "short", str(n)) for n in range(7)],
        {str(n): [answer("fallback") if n else policy(7)] for n in range(7)},
    )
    path = tmp_path / "new.yml"
    raise_floors([result], path)
    assert check_floors([result], path) == []


def test_the_recorded_floors_are_readable_and_at_least_those_of_the_first_issue():
    floors = read_floors(Path(__file__).parent / "floors.yml")
    assert floors["messages"]["kind"] >= 0.85 and floors["messages"]["any_hit"] >= 0.85
    assert floors["messages"]["false_answer"] <= 0.08 and floors["facets"]["facets"] >= 0.75


# -- the command -----------------------------------------------------------------------


NASTY = '<script src="x">[bold]\\u0007</script>'


@pytest.fixture
def hotline():
    nasty = NASTY.replace("\\u0007", "\x07")
    wrong = policy(7, text="<b>第一行</b>\n第二行", debug={"scores": {"7": 0.61}})
    return Hotline({"问": [policy(9)], nasty: [wrong]})


@pytest.fixture
def sample(tmp_path):
    return write_messages(tmp_path, [("policy", "9", "short", "问"), ("oos", "", "injection", NASTY)])


def run(sample, hotline, **known):
    return command.run([sample], url="http://fake", transport=hotline.transport, **known)


def test_tables(sample, hotline, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    assert run(sample, hotline) == 0
    out = capsys.readouterr().out
    for part in ("messages.tsv  2 行", "类别正确", "50.0%", "≥ 95%", "✗", "injection", "错 1 行"):
        assert part in out
    assert "[bold]\\u0007" in out  # neither markup nor a bell
    assert "out of scope, answered with a measure" in out and "0.61" in out


def test_json(sample, hotline, capsys):
    assert run(sample, hotline, as_json=True) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["metrics"]["kind"] | {"interval": None} == {
        "value": 0.5,
        "count": 1,
        "total": 2,
        "interval": None,
    }
    assert file["slices"]["measure"]["9"]["exact"]["value"] == 1.0
    (failed,) = file["failed"]
    assert failed["id"] == "d1" and failed["got"] == "policy 7" and failed["expected"] == "oos"
    assert failed["reply"] == "<b>第一行</b>" and failed["debug"] == {"scores": {"7": 0.61}}


def test_json_with_a_lone_surrogate(tmp_path, capsys):
    sample = write_messages(tmp_path, [("oos", "", "short", "问")])
    body = '{"replies": [{"text": "x", "answer": {"kind": "policy", "measures": [7]}, "debug": "\\udead"}]}'
    hotline = Hotline({"问": httpx.Response(200, content=body.encode())})
    assert run(sample, hotline, as_json=True) == 0
    out = capsys.readouterr().out
    out.encode()  # raises where a lone surrogate is left
    assert json.loads(out)["files"][0]["failed"][0]["debug"] == "\udead"


def test_page_is_whole_and_fetches_nothing(sample, hotline, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    assert run(sample, hotline, html=page) == 0
    text = page.read_text("utf-8")
    assert not re.search(
        r"https?:|//[a-z]|url\(|@import|<script|<link|<img| src=[^&]| href=", text.replace("src=&", "")
    )
    assert "default-src 'none'" in text
    assert "&lt;script src=&quot;x&quot;&gt;[bold]\\u0007" in text
    assert "&lt;b&gt;第一行&lt;/b&gt;" in text and "第二行" not in text
    assert text.count("<svg") == 2 and "<title>oos → policy: 1 / 1</title>" in text
    assert "<title>none → 7: 1 / 1</title>" in text
    assert re.search(r'<title>policy → policy: 1 / 1</title><rect class="right"', text)
    assert re.search(r'<title>oos → policy: 1 / 1</title><rect class="wrong"', text)
    for heading in ("按类别", "按措施", "按文体", "按分集", "有错的行"):
        assert heading in text
    assert "50.0% <small>[9%–91%]</small>" in text  # Wilson interval of 1 of 2
    assert "0.61" in text


def test_page_without_debug_and_with_a_lone_surrogate(tmp_path):
    sample = write_messages(tmp_path, [("policy", "9", "injection", r"\udead问")])
    assert run(sample, Hotline({"\udead问": [policy(7)]}), html=tmp_path / "p.html") == 0
    assert "\\udead问" in (tmp_path / "p.html").read_text("utf-8")


def test_exit_code_and_sentence_of_a_broken_floor(sample, hotline, tmp_path, capsys):
    floors = floors_file(tmp_path, kind=0.85)
    assert run(sample, hotline, floors=floors, html=tmp_path / "p.html", as_json=True) == 1
    sentence = "messages: kind is 50.0% (1 of 2), under its floor of 85.0%."
    said = capsys.readouterr()
    assert sentence in said.err.replace("\n", " ").replace("  ", " ")
    assert json.loads(said.out)["floors"] == [sentence]
    assert sentence in (tmp_path / "p.html").read_text("utf-8")
    assert run(sample, hotline, floors=floors_file(tmp_path, kind=0.5)) == 0


def test_a_slip_in_the_floors_is_found_before_anything_is_asked(sample, hotline, tmp_path):
    with pytest.raises(FormatError):
        run(sample, hotline, floors=floors_file(tmp_path, kindd=0.5))
    assert hotline.sent == []


def test_several_files_at_once(sample, tmp_path, capsys):
    facets = tmp_path / "facets.tsv"
    facets.write_text(f"{FACET_HEADER}\nf1\t9\tcost\t收钱不\t免费\t\n")
    hotline = Hotline(
        {
            "问": [policy(9)],
            NASTY.replace("\\u0007", "\x07"): [answer("fallback")],
            "收钱不": [policy(9, text="免费")],
        }
    )
    assert command.run([sample, facets], url="http://fake", transport=hotline.transport, as_json=True) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [(f["file"], f["type"], f["failed"]) for f in files] == [
        ("messages.tsv", "messages", []),
        ("facets.tsv", "facets", []),
    ]
