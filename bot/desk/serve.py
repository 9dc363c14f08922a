"""The desk's process: the staff port, and the timers of the duty roster."""

from __future__ import annotations

import asyncio
import contextlib
import os

import structlog
import uvicorn
from fastapi import FastAPI

from bot.conversations.engine import HttpEngine
from bot.desk.app import create_desk_app
from bot.desk.escalation import climb, requeue_silent
from bot.logs import configure
from bot.settings import Settings, settings
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

TICK = 5.0  # seconds; an urgent call is late by no more than this


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


async def keep_time(app: FastAPI) -> None:
    """`tick` until cancelled."""
    while True:
        await asyncio.to_thread(tick, app)
        await asyncio.sleep(TICK)


async def serve(config: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    engine = HttpEngine(config.engine, os.environ.get("HOTLINE_ENGINE_TOKEN", ""), config.engine_timeout)
    app = create_desk_app(config, engine)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.desk_host,
            port=config.desk_port,
            log_config=None,
            access_log=False,
            server_header=False,
            # Open pages hold a websocket each; they reconnect by themselves.
            timeout_graceful_shutdown=2,
        )
    )
    timers = asyncio.create_task(keep_time(app))
    try:
        await server.serve()
    finally:
        timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timers
        await engine.close()


def main() -> None:
    """Run the desk with the settings of the environment."""
    config = settings()
    configure(config.log_level)
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
