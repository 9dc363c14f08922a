import base64
import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric

from bot import crypto
from bot.crypto import DataKey, KeyProblem, Tampered, mask_phone, mask_text, normal_phone
from bot.settings import Settings

KEY = DataKey(bytes(range(32)))
IDENTITY = "22010419900101123" + ric.calc_check_digit("220104199001011230")
UNKNOWN_COUNTY = "22999919900101123" + ric.calc_check_digit("229999199001011230")
CARD = "622202000000000" + luhn.calc_check_digit("622202000000000")
CARD_19 = "621700073000123456" + luhn.calc_check_digit("621700073000123456")


def config(tmp_path, **values):
    return Settings(home=tmp_path, **values)


@given(st.binary(), st.text())
def test_what_is_sealed_opens_again(plain, associated):
    assert KEY.decrypt(KEY.encrypt(plain, associated), associated) == plain


def test_text_is_sealed_as_utf8_under_a_version_byte_and_never_twice_alike():
    one, two = KEY.encrypt("红旗街"), KEY.encrypt("红旗街")
    assert one[0] == two[0] == 1
    assert one != two
    assert KEY.decrypt(one).decode() == "红旗街"
    assert "红旗街".encode() not in one


def test_every_changed_byte_is_found():
    sealed = KEY.encrypt("40元", "cases.fields")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(Tampered, match=r"cases\.fields"):
            KEY.decrypt(bytes(changed), "cases.fields")


@pytest.mark.parametrize("cut", [0, 1, 5, 13, 20])
def test_a_shortened_value_is_found(cut):
    with pytest.raises(Tampered):
        KEY.decrypt(KEY.encrypt("40元")[:cut])


def test_another_column_or_key_does_not_open():
    sealed = KEY.encrypt("40元", "cases.fields")
    with pytest.raises(Tampered, match="changed, or sealed with another key"):
        KEY.decrypt(sealed, "case_drafts.data")
    with pytest.raises(Tampered, match="another key"):
        DataKey(os.urandom(32)).decrypt(sealed, "cases.fields")


def test_a_second_cipher_version_leaves_old_values_readable(monkeypatch):
    class Other(crypto.AesGcm):
        label = "sm4-gcm"
        key_bytes = 16

    old = KEY.encrypt("旧")
    monkeypatch.setitem(crypto.CIPHERS, 2, Other())
    monkeypatch.setattr(crypto, "CURRENT", 2)
    new = KEY.encrypt("新")
    assert (old[0], new[0]) == (1, 2)
    assert (KEY.decrypt(old).decode(), KEY.decrypt(new).decode()) == ("旧", "新")
    with pytest.raises(Tampered):
        KEY.decrypt(b"\x01" + new[1:])


def test_the_key_file_is_made_once_and_private(tmp_path):
    first = DataKey.load(config(tmp_path))
    path = tmp_path / "data.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(base64.b64decode(path.read_bytes())) == 32
    assert DataKey.load(config(tmp_path)).decrypt(first.encrypt("甲")) == "甲".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.key"]


def test_processes_that_start_at_once_share_one_key(tmp_path):
    keys = []
    barrier = threading.Barrier(8)

    def start():
        barrier.wait()
        keys.append(DataKey.from_file(tmp_path / "data.key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.phone_hash("13904321187") for key in keys}) == 1
    assert len(keys) == 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_reach_is_refused(tmp_path, mode):
    DataKey.load(config(tmp_path))
    (tmp_path / "data.key").chmod(mode)
    with pytest.raises(KeyProblem, match=r"chmod 600 .*data\.key"):
        DataKey.load(config(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not base64!\n", base64.b64encode(bytes(16)), b"\xff\xfe"])
def test_a_broken_key_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "data.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyProblem, match=r"data\.key"):
        DataKey.from_file(path)


def test_the_environment_goes_before_the_file(tmp_path):
    given_key = base64.b64encode(bytes(range(32))).decode()
    assert DataKey.load(config(tmp_path, key=given_key)).phone_hash("1") == KEY.phone_hash("1")
    assert not (tmp_path / "data.key").exists()
    with pytest.raises(KeyProblem, match="HOTLINE_KEY must be base64 of 32 bytes, it holds 16"):
        DataKey.load(config(tmp_path, key=base64.b64encode(bytes(16)).decode()))
    with pytest.raises(KeyProblem, match="33"):
        DataKey(bytes(33))


def test_a_key_never_shows_itself():
    assert repr(KEY) == "DataKey(…)"


def test_a_phone_hash_is_one_for_every_way_of_writing_and_keyed():
    ways = [
        "13904321187",
        "139 0432 1187",
        "139-0432-1187",
        "+86 139 0432 1187",
        "008613904321187",
        "１３９０４３２１１８７",
    ]
    assert len({KEY.phone_hash(way) for way in ways}) == 1
    assert KEY.phone_hash("13904321188") != KEY.phone_hash("13904321187")
    assert DataKey(os.urandom(32)).phone_hash("13904321187") != KEY.phone_hash("13904321187")
    with pytest.raises(ValueError, match="no digits"):
        KEY.phone_hash("没有电话")


def test_a_landline_that_begins_with_86_keeps_it():
    assert normal_phone("8612345") == "8612345"


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("13904321187", "139****1187"),
        ("+86 139-0432-1187", "139****1187"),
        ("0431-88888888", "043****8888"),
        ("12315", "****"),
        ("", "****"),
    ],
)
def test_mask_phone(phone, masked):
    assert mask_phone(phone) == masked


@pytest.mark.parametrize(
    "written", ["13904321187", "139 0432 1187", "139-0432-1187", "+8613904321187", "１３９０４３２１１８７"]
)
def test_a_mobile_number_is_masked_in_any_text(written):
    assert mask_text(f"我姓韩，电话{written}，退40元") == "我姓韩，电话139****1187，退40元"


def test_two_numbers_in_one_text_are_both_masked():
    assert mask_text("13904321187 13904321188") == "139****1187 139****1188"


def test_identity_numbers_are_masked():
    assert ric.is_valid(IDENTITY)
    masked = mask_text(f"身份证{IDENTITY}，")
    assert IDENTITY not in masked
    assert masked == f"身份证220*************{IDENTITY[-2:]}，"
    spaced = f"{IDENTITY[:6]} {IDENTITY[6:14]} {IDENTITY[14:]}"
    assert IDENTITY[6:14] not in mask_text(spaced)


def test_an_identity_number_of_an_abolished_county_is_masked_too():
    assert UNKNOWN_COUNTY not in mask_text(UNKNOWN_COUNTY)


@pytest.mark.parametrize("card", [CARD, CARD_19])
def test_bank_cards_are_masked(card):
    assert mask_text(f"卡号{card}。") == f"卡号{'*' * (len(card) - 4)}{card[-4:]}。"
    spaced = " ".join(re.findall(r".{1,4}", card))
    assert card[4:8] not in mask_text(f"40元 {spaced}")


@pytest.mark.parametrize(
    "text",
    [
        "JL-T-261122-00017-0",
        "220104199013011234",
        IDENTITY[:-1] + ("1" if IDENTITY[-1] != "1" else "2"),
        "2611220001 70",
        "3305230000000202105312269",
        CARD[:-1] + str((int(CARD[-1]) + 1) % 10),
        "吉市监注字〔2020〕26号",
        "12900000000",
        "订单 1390432118",
    ],
)
def test_other_digits_stay(text):
    assert mask_text(text) == text


def test_phones_can_be_kept_while_identity_and_card_are_masked():
    masked = mask_text(f"13904321187 {IDENTITY} {CARD}", phones=False)
    assert "13904321187" in masked
    assert IDENTITY not in masked
    assert CARD not in masked


@given(st.text(alphabet="电话：，- 0123456789１２X"))
def test_masking_never_fails_and_leaves_no_mobile_number(text):
    assert not re.search(r"(?<!\d)1[3-9]\d{9}(?!\d)", mask_text(text))


def test_the_process_wide_key_comes_from_the_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(crypto, "settings", lambda: config(tmp_path))
    crypto.set_data_key(None)
    try:
        assert crypto.data_key() is crypto.data_key()
        assert (tmp_path / "data.key").exists()
    finally:
        crypto.set_data_key(None)


def test_digits_side_by_side_are_no_card():
    for text in ("查进度 JL-T-261122-00017-1 13904321187", "2020-02-26 13904321187买的"):
        for last in range(10):
            said = text[:-4] + f"{last:04d}"
            assert mask_text(said, phones=False) == said
