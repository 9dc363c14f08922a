"""The desk's process: the staff port, and the timers of the duty roster."""

from __future__ import annotations

import asyncio
import contextlib
import os

import structlog
import uvicorn
from fastapi import FastAPI

from bot.cases import terms
from bot.cases.supervision import keep_watch
from bot.channels.connections import allow_files, bounded
from bot.conversations.engine import HttpEngine
from bot.crypto import CryptoError, data_key
from bot.desk.app import create_desk_app
from bot.desk.escalation import climb, requeue_silent
from bot.logs import configure
from bot.settings import Settings, settings
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

MAX_FRAME = 1024 * 1024  # bytes of one message of a page
TICK = 5.0  # seconds; an urgent call is late by no more than this
WATCH = 300.0  # seconds between looks at the clocks of cases (督办), which count in days


def tick(app: FastAPI) -> None:
    """One look at the clocks, each in a transaction of its own: a fault of one must not stop the other."""
    now = app.state.now()
    for work in (climb, requeue_silent):
        try:
            with app.state.sessions.begin() as session:
                done = work(session, now)
            if done:
                logger.info(work.__name__, count=len(done))
        except StorageError as error:
            logger.warning("timer_waits", timer=work.__name__, error=str(error))
        except Exception as error:
            logger.exception("timer_failed", timer=work.__name__, error=type(error).__name__)


def watch(app: FastAPI) -> None:
    """One look at the clocks of the open cases."""
    try:
        acted = keep_watch(app.state.sessions, app.state.readers, app.state.now())
        if acted:
            logger.info("keep_watch", count=acted)
    except StorageError as error:
        logger.warning("timer_waits", timer="keep_watch", error=str(error))
    except Exception as error:
        logger.exception("timer_failed", timer="keep_watch", error=type(error).__name__)


async def watch_clocks(app: FastAPI) -> None:
    """`watch` until cancelled; first load the dictionary of the search by words."""
    await asyncio.to_thread(terms.warm)
    while True:
        await asyncio.to_thread(watch, app)
        await asyncio.sleep(WATCH)


async def keep_time(app: FastAPI) -> None:
    """`tick` until cancelled."""
    while True:
        await asyncio.to_thread(tick, app)
        await asyncio.sleep(TICK)


async def serve(config: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    engine = HttpEngine(config.engine, os.environ.get("HOTLINE_ENGINE_TOKEN", ""), config.engine_timeout)
    app = create_desk_app(config, engine)
    unlimited = config.rate_limits == "off"
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.desk_host,
            port=config.desk_port,
            http=bounded(0 if config.behind_proxy or unlimited else config.connections_per_address),
            ws_max_size=MAX_FRAME,
            proxy_headers=config.behind_proxy,
            forwarded_allow_ips="127.0.0.1",
            log_config=None,
            access_log=False,
            server_header=False,
            # Open pages hold a websocket each; they reconnect by themselves.
            timeout_graceful_shutdown=2,
        )
    )
    timers = [asyncio.create_task(keep_time(app)), asyncio.create_task(watch_clocks(app))]
    try:
        await server.serve()
    finally:
        for timer in timers:
            timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await timer
        await engine.close()


def main() -> None:
    """Run the desk with the settings of the environment."""
    config = settings()
    configure(config.log_level)
    allow_files()
    try:
        data_key()
    except CryptoError as error:
        raise SystemExit(str(error)) from None
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
