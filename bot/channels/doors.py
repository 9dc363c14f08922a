"""The channels besides the widget, where their settings are on: their routes, and their adapters for the outbox."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from bot.channels import sms, wechat
from bot.channels.limits import limiter_of
from bot.channels.sms_gateways import make_gateway
from bot.channels.wechat_api import WeChatApi
from bot.channels.wechat_crypto import Envelope
from bot.outbox.worker import Adapter
from bot.settings import Settings

BURST = 5  # minutes' worth of messages that a citizen may send at once


def include(app: FastAPI, config: Settings) -> None:
    """Add the routes of the channels that are on. Raises `ValueError` for settings that do not go together."""
    app.state.senders = limiter_of(config, "senders", config.sms_per_minute, config.sms_per_minute * BURST)
    app.state.warned = limiter_of(config, "warned", 1, 1)
    running: set[asyncio.Task[None]] = set()
    app.state.running = running
    if config.sms_gateway:
        app.state.sms = make_gateway(config)
        app.include_router(sms.router)
    if config.wechat_token:
        app.state.wechat = Envelope(config.wechat_token, config.wechat_app_id, config.wechat_aes_key)
        app.include_router(wechat.router)


def adapters(config: Settings, readers: sessionmaker[Session]) -> dict[str, Adapter]:
    """The outbox' adapters of the channels that are on, by kind."""
    found: dict[str, Adapter] = {}
    if config.sms_gateway:
        found["sms"] = sms.SmsAdapter(readers, make_gateway(config), config)
    if config.wechat_token and config.wechat_app_secret:
        found["wechat"] = wechat.WeChatAdapter(readers, WeChatApi(config))
    return found
