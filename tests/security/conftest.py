"""Gateway and desk in this process, for whoever attacks them."""

import pytest

from bot.settings import settings
from tests.channels.test_sms import Sms
from tests.channels.test_wechat import Account
from tests.channels.wechat_simulator import AES_KEY, APP_ID, TOKEN
from tests.desk.conftest import cheap_hashes, desk, make_desk  # noqa: F401

SECRET = "a-gateways-secret"
KANNEL = {"sms_gateway": "kannel", "sms_secret": "key", "sms_url": "http://127.0.0.1:9/"}
JSON = {"sms_gateway": "json", "sms_secret": SECRET, "sms_url": "http://127.0.0.1:9/"}
WECHAT = {"wechat_token": TOKEN, "wechat_app_id": APP_ID, "wechat_app_secret": "app-secret",
          "wechat_api_url": "http://wechat.test"}  # fmt: skip


@pytest.fixture
def make_with(make_hotline, monkeypatch):
    """A gateway with settings that its actions and notices see as well."""

    def make(**given):
        for name, value in given.items():
            monkeypatch.setenv(f"HOTLINE_{name.upper()}", str(value))
        settings.cache_clear()
        return make_hotline(**given)

    return make


@pytest.fixture
def sms(make_with):
    """A phone before Kannel."""
    return Sms(make_with(**KANNEL))


@pytest.fixture
def wechat(make_with):
    """A WeChat account in safe mode."""
    return Account(make_with(**WECHAT, wechat_aes_key=AES_KEY), aes=True)
