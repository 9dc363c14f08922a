"""Last of all: what the other tests have left on disk shows nobody's phone number (promise 10)."""

from __future__ import annotations


def test_no_file_of_the_home_shows_a_phone_number(instance, talk) -> None:
    phone = instance.phone()
    talk.say(f"我电话{phone}，在百惠乐超市买的酸奶过期了，我要投诉")
    talk.say(f"查进度，手机号{phone}")
    files = [path for path in instance.config.home_dir.rglob("*") if path.is_file()]
    assert {"hotline.db", "engine.log", "gateway.log"} <= {path.name for path in files}
    assert len(instance.phones) >= 1
    for path in files:
        content = path.read_bytes()
        shown = [phone for phone in instance.phones if phone.encode() in content]
        assert shown == [], path
        assert "百惠乐".encode() not in content, path
