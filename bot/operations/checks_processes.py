"""What the doctor hears from the processes: gateway, engines, desk, Redis."""

from __future__ import annotations

import os
import uuid

import httpx
import redis

from bot.operations.finding import Findings, broken, look, well
from bot.settings import Settings

PATIENCE = 3.0  # seconds


def doors(config: Settings) -> dict[str, str]:
    """Where gateway and desk say that they live."""
    found = {"gateway": f"http://127.0.0.1:{config.port}/healthz"}
    if config.desk == "on":
        found["desk"] = f"http://{_host(config.desk_host)}:{config.desk_port}/healthz"
    return found


def _host(listens_on: str) -> str:
    return "127.0.0.1" if listens_on in ("0.0.0.0", "::", "") else listens_on


def answers(url: str) -> bool:
    """Whether a process answers 200 there."""
    try:
        return httpx.get(url, timeout=PATIENCE, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def gateway(config: Settings) -> Findings:
    """The gateway lives, and says whether database and engine answer it."""
    names = {"database": "数据库", "engine": "识别引擎"}
    try:
        ready = httpx.get(f"http://127.0.0.1:{config.port}/readyz", timeout=PATIENCE, trust_env=False).json()
        for name, good in ready.items():
            label = names.get(name, name)
            if good:
                yield well("网关", f"{label}可用。")
            else:
                yield broken(
                    "网关", f"{label}不可用。", "群众的来信存不下，或者都转给值班员。",
                    f"看网关日志；检查{label}是否在运行。",
                )  # fmt: skip
    except (httpx.HTTPError, ValueError, AttributeError):
        yield broken(
            "网关", f"端口 {config.port} 没有应答。", "群众打不开热线。",
            "启动服务；已经启动的话核对 HOTLINE_PORT。",
        )  # fmt: skip


def desk(config: Settings) -> Findings:
    """The desk can be opened."""
    if config.desk != "on":
        return
    if answers(doors(config)["desk"]):
        yield well("值班台", "可以打开。")
    else:
        yield broken(
            "值班台", f"端口 {config.desk_port} 没有应答。", "值班员看不到排队的群众，超时也没有人催办。",
            "启动值班台；已经启动的话核对 HOTLINE_DESK_PORT 和 HOTLINE_DESK_HOST。",
        )  # fmt: skip


def engines(config: Settings) -> Findings:
    """Each engine answers, knows our token and reads a sentence."""
    token = os.environ.get("HOTLINE_ENGINE_TOKEN", "")
    for url in (one.strip().rstrip("/") for one in config.engine.split(",") if one.strip()):
        if not answers(f"{url}/webhooks/turn/"):
            yield broken(
                "引擎", f"{url} 没有应答。", "剩下的引擎更慢；一个都没有时，每条来信都转给值班员。",
                "启动引擎，看它的日志；核对 HOTLINE_ENGINE_URL。",
            )  # fmt: skip
        elif not token:
            yield well("引擎", f"{url} 在运行（没有令牌，不能试问）。")
        else:
            yield from _asked(url, token)


def _asked(url: str, token: str) -> Findings:
    body = {
        "conversation_id": f"doctor-{uuid.uuid4()}", "message_id": str(uuid.uuid4()),
        "text": "电梯维保能延长吗", "context": {"read_only": True},
    }  # fmt: skip
    try:
        answer = httpx.post(
            f"{url}/webhooks/turn/webhook", json=body, headers={"X-Hotline-Token": token},
            timeout=PATIENCE * 3, trust_env=False,
        )  # fmt: skip
        status, reading = answer.status_code, answer.json().get("reading")
    except (httpx.HTTPError, ValueError, AttributeError):
        status, reading = 0, None
    if status == 401:
        yield broken(
            "引擎", f"{url} 不认 HOTLINE_ENGINE_TOKEN。", "网关问它什么都被拒绝，来信都转给值班员。",
            "引擎和网关用同一个环境文件，改后都要重启。",
        )  # fmt: skip
    elif status != 200 or not reading:
        yield broken(
            "引擎", f"{url} 读不懂一句试问（状态 {status}）。", "来信都转给值班员。",
            "看引擎日志；模型可能没有装好，重新 hotline train。",
        )  # fmt: skip
    else:
        yield well("引擎", f"{url} 在运行，能读懂试问。")


def shared_limits(config: Settings) -> Findings:
    """Redis, where it is set."""
    if not config.redis_url:
        return
    try:
        client = redis.Redis.from_url(
            config.redis_url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
        client.ping()
        client.close()
        yield well("Redis", "可用。")
    except (redis.RedisError, ValueError) as error:
        yield look(
            "Redis", f"不可用（{type(error).__name__}）。", "几个网关各自限流，加起来放得太宽；服务不受影响。",
            "启动 Redis，核对 HOTLINE_REDIS_URL。",
        )  # fmt: skip
