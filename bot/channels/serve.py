"""The gateway's process: the public port and, on loopback, the action webhook for the engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid

import structlog
import uvicorn
import uvloop

from bot.cases import terms
from bot.channels import doors
from bot.channels.actions_app import create_actions_app
from bot.channels.app import create_app
from bot.channels.connections import allow_files, bounded
from bot.channels.origins import allowed
from bot.conversations.engine import EngineFailed, HttpEngine
from bot.crypto import CryptoError, data_key
from bot.logs import configure
from bot.outbox.departments import department_adapters
from bot.outbox.worker import Worker
from bot.policy import load
from bot.settings import Settings, settings

logger = structlog.get_logger(__name__)


async def _warm(engine: HttpEngine) -> None:
    """The first message of an engine takes a second, and so does the first case's dictionary; nobody should be the
    one who waits for it."""
    await asyncio.to_thread(terms.warm)
    while True:
        with contextlib.suppress(EngineFailed):
            await engine.turn(f"warm-up-{uuid.uuid4()}", str(uuid.uuid4()), "电梯维保能延长吗", {})
            return
        await asyncio.sleep(0.3)


def _per_address(config: Settings) -> int:
    # A proxy in front is one address; it counts its clients' connections itself.
    return 0 if config.behind_proxy or config.rate_limits == "off" else config.connections_per_address


async def serve(config: Settings) -> None:
    """Serve both until SIGTERM or SIGINT."""
    load()  # A pack that contradicts its notice must stop the start, not an answer.
    engine = HttpEngine(config.engine, os.environ.get("HOTLINE_ENGINE_TOKEN", ""), config.engine_timeout)
    app = create_app(config, engine)
    warm = asyncio.create_task(_warm(engine))
    app.state.warm = warm
    adapters = doors.adapters(config, app.state.readers) | department_adapters(config)
    sending = asyncio.create_task(Worker(app.state.sessions, adapters, name="gateway").run())
    public = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=bounded(_per_address(config)),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=config.behind_proxy,
            forwarded_allow_ips="127.0.0.1",
            # Longer than people think, and than nginx keeps a connection (60 s): whoever closes first must not be
            # the one that a message is just being sent to.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )
    actions = uvicorn.Server(
        uvicorn.Config(
            create_actions_app(os.environ["HOTLINE_ACTIONS_TOKEN"]),
            host="127.0.0.1",
            port=config.actions_port,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )

    def stop() -> None:
        # uvicorn's own handler: sse-starlette listens to it and ends the open streams.
        public.handle_exit(signal.SIGTERM, None)

    # Two servers in one process: neither may install its own signal handlers.
    for server in (public, actions):
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    inner = asyncio.create_task(actions.serve())
    await public.serve()
    actions.should_exit = True
    warm.cancel()
    # What it was sending goes out again under the same id when its lease ends.
    sending.cancel()
    await inner
    await engine.close()


def main() -> None:
    """Run the gateway with the settings of the environment."""
    config = settings()
    configure(config.log_level)
    allow_files()
    try:
        data_key()
        allowed(config.allowed_origins)
    except (CryptoError, ValueError) as error:
        raise SystemExit(str(error)) from None
    uvloop.run(serve(config))


if __name__ == "__main__":
    main()
