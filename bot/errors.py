"""Every error a caller can get: code, HTTP status, Chinese text. One table; a test keeps the docs in step."""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """(HTTP status, text for people). The name in lower case is the code."""

    MALFORMED = (422, "请求格式不对，请检查后重试。")
    EMPTY = (422, "消息是空的，请输入文字。")
    TOO_LONG = (413, "消息太长，每条最多2000字，请分几条发送。")
    TOO_LARGE = (413, "请求太大，请减少内容后重试。")
    UNKNOWN_CONVERSATION = (404, "没有找到这个会话。")
    UNKNOWN_CHOICE = (422, "这个选项已经失效，请直接输入文字。")
    UNAUTHORIZED = (401, "会话凭证无效，请重新打开页面。")
    NOT_FOUND = (404, "没有这个地址。")
    METHOD = (405, "不支持这种请求方式。")
    TOO_MANY = (429, "发送得太快了，请稍等一会儿再试。")
    NOT_STORED = (503, "系统暂时不能保存您的消息，消息没有收下，请稍后重发。")
    INTERNAL = (500, "系统出了问题，请稍后重试。")

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.value[0]

    @property
    def message(self) -> str:
        """Text for people."""
        return self.value[1]

    @property
    def code(self) -> str:
        """Stable code for programs."""
        return self.name.lower()


class HotlineError(Exception):
    """A request that cannot be carried out; nothing of it was stored."""

    def __init__(self, problem: Problem, *, retry_after: int | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.retry_after = retry_after

    def body(self) -> dict[str, dict[str, str]]:
        """The error body of the contract."""
        return {"error": {"code": self.problem.code, "message": self.problem.message}}
