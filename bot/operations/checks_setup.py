"""What the doctor can see without asking any process: settings, key, disk, model, channels, back-ups."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from bot.cases.calendar import SHANGHAI, calendar
from bot.crypto import CryptoError, DataKey
from bot.operations import records
from bot.operations.finding import BROKEN, LOOK, Finding, Findings, broken, look, well
from bot.outbox.departments import DepartmentsError, load_departments
from bot.policy import load
from bot.processes import model_path
from bot.settings import Settings

LOCAL = ("127.0.0.1", "localhost", "::1")
FULL, TIGHT = 1 << 30, 3 << 30  # bytes
BACKUP_LATE, BACKUP_OLD = timedelta(hours=26), timedelta(days=7)
TOKENS = ("HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_TOKEN", "HOTLINE_ACTIONS_URL")


def settings_of(config: Settings) -> Findings:
    """Settings that work but should not meet the public."""
    level = BROKEN if config.host not in LOCAL or config.behind_proxy else LOOK
    if config.debug:
        yield Finding(
            level, "设置", "HOTLINE_DEBUG 开着。", "回复里带有识别细节，外人能看到内部判断。",
            "删去 HOTLINE_DEBUG 后重启网关。",
        )  # fmt: skip
    if config.rate_limits == "off":
        yield Finding(
            level, "设置", "HOTLINE_RATE_LIMITS=off，没有限流。", "一个人就能把热线占满。",
            "删去这项设置后重启网关；它只适合压测。",
        )  # fmt: skip
    if config.host not in LOCAL and not config.behind_proxy:
        yield broken(
            "设置", f"网关直接对外监听（{config.host}），前面没有代理。",
            "网关自己不加密：来信和会话凭证在网上是明文。",
            "HOTLINE_HOST 留在 127.0.0.1，用 nginx 加 HTTPS，并设 HOTLINE_BEHIND_PROXY=true。",
        )  # fmt: skip
    if config.desk_host not in LOCAL:
        yield broken(
            "设置", f"值班台直接监听 {config.desk_host}。", "值班台里有个人信息，只能在内网经 HTTPS 打开。",
            "HOTLINE_DESK_HOST 留在 127.0.0.1，由 nginx 在内网地址上提供 HTTPS。",
        )  # fmt: skip
    if not config.desk_cookie_secure and (config.behind_proxy or config.desk_host not in LOCAL):
        yield broken(
            "设置", "值班台的登录凭据没有限定 HTTPS。", "凭据可能在明文连接上被人截走。",
            "设 HOTLINE_DESK_COOKIE_SECURE=true 后重启值班台。",
        )  # fmt: skip
    if config.desk_totp != "required":
        yield look(
            "设置", "值班台没有强制动态验证码。", "只凭密码就能看到群众的个人信息。",
            "设 HOTLINE_DESK_TOTP=required。",
        )  # fmt: skip


def tokens(config: Settings) -> Findings:
    """The three values that engine and gateway share when somebody else than `hotline up` starts them."""
    known = {name: os.environ.get(name, "") for name in TOKENS}
    if not any(known.values()):
        yield well("令牌", "环境里没有令牌：由 hotline up 启动时它自己生成，分开启动时必须写进环境文件。")
        return
    for name in (name for name, value in known.items() if not value):
        yield broken(
            "令牌", f"没有设置 {name}。", "网关和引擎互不相认，每条来信都答不上来。",
            "在环境文件里写上同一组令牌（deploy/hotline.env.example），重启网关和引擎。",
        )  # fmt: skip
    if all(known.values()):
        if urlsplit(known["HOTLINE_ACTIONS_URL"]).path != f"/webhook/{known['HOTLINE_ACTIONS_TOKEN']}":
            yield broken(
                "令牌", "HOTLINE_ACTIONS_URL 里的令牌和 HOTLINE_ACTIONS_TOKEN 不一样。",
                "引擎做不了登记和查询，群众拿不到回执。",
                "HOTLINE_ACTIONS_URL 写成 http://127.0.0.1:端口/webhook/令牌。",
            )  # fmt: skip
        elif min(len(known[name]) for name in TOKENS[:2]) < 24:
            yield broken(
                "令牌", "令牌太短。", "这台机器上的其他程序可能猜到它。", "用 openssl rand -hex 24 生成。"
            )
        else:
            yield well("令牌", "引擎和网关的令牌齐全、一致。")


def has_key(config: Settings) -> bool:
    """Whether there is a data key; loading it would make one."""
    return bool(config.key) or (config.home_dir / config.key_file).exists()


def key(config: Settings) -> Findings:
    """The data key, and who can read it."""
    path = config.home_dir / config.key_file
    if not has_key(config):
        yield look(
            "密钥", f"还没有数据密钥（{path}）。", "没有它什么都存不了；启动时会自动生成一个。",
            "如果这里本来有数据，请先把原来的密钥放回去，不要启动。",
        )  # fmt: skip
        return
    try:
        DataKey.load(config)
    except CryptoError as error:
        yield broken(
            "密钥", f"数据密钥不能用：{error}", "读不出已存的个人信息，也存不了新的。",
            "放回原来的密钥文件，属主是服务的用户，权限 600。",
        )  # fmt: skip
        return
    if config.key:
        yield look(
            "密钥", "数据密钥写在环境变量里。", "同一用户的进程都能看到环境变量。",
            "改用密钥文件（HOTLINE_KEY_FILE）。",
        )  # fmt: skip
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    yield well("密钥", f"数据密钥可用（{path}，权限 {mode:03o}）。请另存一份，没有它备份打不开。")


def disk(config: Settings) -> Findings:
    """Room for the database, attachments and logs."""
    free = shutil.disk_usage(config.home_dir).free
    says = f"{config.home_dir} 所在磁盘剩余 {free / (1 << 30):.1f} GB。"
    why, do = "磁盘写满后什么都存不下，群众会被请求稍后再发。", "清理旧日志和旧备份，或换大一些的磁盘。"
    if free > TIGHT:
        yield well("磁盘", says)
    else:
        yield Finding(BROKEN if free < FULL else LOOK, "磁盘", says, why, do)


def model(config: Settings) -> Findings:
    """The model that belongs to the sources."""
    path = model_path(config)
    if path.exists():
        yield well("模型", f"{path.name}（{path.stat().st_size / (1 << 20):.0f} MB），与当前语料和代码一致。")
    elif config.model.suffix == ".gz":
        yield broken(
            "模型", f"没有 HOTLINE_MODEL 指定的 {path}。", "引擎启动不了。", "放好模型文件，或改正路径。"
        )
    else:
        yield look(
            "模型", "没有与当前语料和代码对应的模型。", "引擎下次启动要先训练约一分半钟，或用的是旧模型。",
            "运行 hotline train，再依次重启引擎。",
        )  # fmt: skip


def sms(config: Settings) -> Findings:
    """The settings of the SMS gateway that belong together."""
    needed = {
        "kannel": ("sms_url", "sms_user", "sms_password", "sms_secret"),
        "json": ("sms_url", "sms_secret"),
    }.get(config.sms_gateway, ())
    missing = [f"HOTLINE_{name.upper()}" for name in needed if not getattr(config, name)]
    if missing:
        yield broken(
            "短信", f"短信网关 {config.sms_gateway} 缺少 {'、'.join(missing)}。",
            "短信收不到或发不出，群众等不到回复。", "补上设置后重启网关（docs/channels.md）。",
        )  # fmt: skip
    elif config.sms_gateway == "console":
        yield look(
            "短信", "短信只打印在日志里（console）。", "群众收不到短信。",
            "正式使用时 HOTLINE_SMS_GATEWAY 设为 kannel 或 json。",
        )  # fmt: skip
    elif config.sms_gateway:
        yield well("短信", f"短信网关 {config.sms_gateway} 的设置齐全。")


def wechat(config: Settings) -> Findings:
    """The settings of the official account that belong together."""
    if not config.wechat_token:
        return
    needed = ("wechat_app_id", "wechat_app_secret")
    missing = [f"HOTLINE_{name.upper()}" for name in needed if not getattr(config, name)]
    if missing:
        yield broken(
            "微信", f"公众号缺少 {'、'.join(missing)}。", "超过五秒的答复和值班员的回复发不出去。",
            "在公众平台查到后补上，重启网关。",
        )  # fmt: skip
    elif not config.wechat_aes_key:
        yield look(
            "微信", "公众号用的是明文模式。", "明文模式不保护消息内容。",
            "公众平台改为安全模式，并设 HOTLINE_WECHAT_AES_KEY。",
        )  # fmt: skip
    else:
        yield well("微信", "公众号的设置齐全。")


def departments(config: Settings) -> Findings:
    """How departments are reached."""
    path = config.home_dir / config.departments
    if not path.exists():
        yield look(
            "派单", f"没有 {path}。", "派给部门的工单只写进日志文件，部门收不到。",
            "按 docs/settings.md 写好这个文件；不需要重启。",
        )  # fmt: skip
        return
    try:
        yield well("派单", f"{len(load_departments(path).departments)} 个部门有送达方式。")
    except DepartmentsError as error:
        yield broken(
            "派单", f"{path} 有错：{error}", "派给部门的工单送不出去。", "改正这个文件；不需要重启。"
        )


def backups(config: Settings, now: datetime) -> Findings:
    """When the last back-up was made."""
    why = "机器坏了以后，最后一次备份之后的工单和回执都没有了。"
    do = "运行 hotline backup，并打开定时备份（hotline-backup.timer），备份文件存到别的机器上。"
    noted = records.last(config.home_dir, records.BACKUP)
    if noted is None:
        yield look("备份", "从来没有备份过。", why, do)
        return
    age = now - noted["at"]
    says = f"最近一次备份在 {noted['at'].astimezone(SHANGHAI):%Y-%m-%d %H:%M}（{noted.get('path')}）。"
    if age <= BACKUP_LATE:
        yield well("备份", says)
    else:
        yield Finding(BROKEN if age > BACKUP_OLD else LOOK, "备份", says, why, do)


def notice(config: Settings, now: datetime) -> Findings:
    """The notice's validity and the working-day calendar."""
    if load().notice.validity.reviewed_on is None:
        yield look(
            "通知", "通知的现行有效性没有人复核过。", "对外一律提示“可能已不再执行”。",
            "核实后在 notice.yml 里填 validity、reviewed_by、reviewed_on。",
        )  # fmt: skip
    ahead = (now + timedelta(days=90)).astimezone(SHANGHAI).date()
    if ahead.year not in calendar().years:
        yield look(
            "日历", f"没有{ahead.year}年的工作日安排。", "跨年的法定时限暂按周末推算，可能差几天。",
            "国务院公布放假安排后补进 bot/cases/calendar.json。",
        )  # fmt: skip
