"""Every error a caller can get: code, HTTP status, Chinese text. One table; a test keeps the docs in step."""

from __future__ import annotations

from enum import Enum

from bot import request_ids


class Problem(Enum):
    """(HTTP status, text for people). The name in lower case is the code."""

    MALFORMED = (422, "请求格式不对，请检查后重试。")
    EMPTY = (422, "消息是空的，请输入文字。")
    TOO_LONG = (413, "消息太长，每条最多2000字，请分几条发送。")
    TOO_LARGE = (413, "请求太大，请减少内容后重试。")
    FILE_TOO_LARGE = (413, "文件太大，请换一个小一些的。")
    UNSUPPORTED = (415, "只收图片（JPG、PNG、WebP）和PDF，这个文件不是，或者没有传完整。")
    TOO_MANY_FILES = (422, "这个会话里的文件已经够多了，更多的请在办理时交给工作人员。")
    UNKNOWN_CONVERSATION = (404, "没有找到这个会话。")
    UNKNOWN_CHOICE = (422, "这个选项已经失效，请直接输入文字。")
    UNAUTHORIZED = (401, "会话凭证无效，请重新打开页面。")
    NOT_FOUND = (404, "没有这个地址。")
    METHOD = (405, "不支持这种请求方式。")
    FORBIDDEN = (403, "您的岗位没有这项权限。")
    TAKEN = (409, "这个会话已由其他值班员接入。")
    NOT_YOURS = (409, "这个会话不由您接待，请先接入。")
    UNKNOWN_STAFF = (422, "没有这位工作人员，或者账号已停用。")
    REASON_NEEDED = (422, "请写明原因。")
    UNKNOWN_CASE = (404, "没有找到这个工单。")
    CASE_NOT_NOW = (409, "工单目前的阶段不能这样办理。")
    CASE_CHANGED = (409, "工单刚被别人改过，请刷新后再改。")
    CASE_REFUSED = (422, "填写的内容不合要求，请检查。")
    BAD_SIGNATURE = (403, "签名或密钥不对。")
    REPLAYED = (409, "这个请求已经收到过。")
    NOT_HTTP = (400, "这不是一个完整的HTTP请求。")
    TOO_SLOW = (408, "请求传得太慢，已断开，请检查网络后重试。")
    HEAD_TOO_LARGE = (431, "请求头太大。")
    TOO_MANY = (429, "发送得太快了，请稍等一会儿再试。")
    NOT_STORED = (503, "系统暂时不能保存，请稍后再发一次；重发不会重复。")
    LOG_IN_NEEDED = (401, "请先登录值班台。")
    LOG_IN_REFUSED = (
        401,
        "用户名、密码或动态验证码不对，或者失败次数过多。请核对后再试，连续失败后请等几分钟。",
    )
    CROSS_SITE = (403, "请求不是从值班台页面发出的，已拒绝。")
    PASSWORD_CHANGE = (403, "请先修改初始密码。")
    TOTP_NEEDED = (403, "请先启用动态验证码。")
    WEAK_PASSWORD = (
        422,
        "密码不合要求：12到128位，含大写字母、小写字母、数字、符号中的三种，不含用户名，不是常见密码。",
    )
    WRONG_CODE = (422, "动态验证码不对或已经用过，请等下一个验证码再试。")
    USERNAME_TAKEN = (409, "这个用户名已经有人用了。")
    LAST_ADMIN = (409, "至少要留一个可用的管理员账号。")
    SAME_PERSON = (409, "接班人和交班人不能是同一个人。")
    ALREADY_SIGNED = (409, "这份交接班记录已经签收。")
    WRONG_LABEL = (422, "标注对不上：请核对意思、措施和问法，并去掉个人信息。")
    UNKNOWN_REVIEW = (404, "没有找到这条待复核记录。")
    ALREADY_EXPORTED = (409, "这条已经导出，不能再改。")
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

    def __init__(self, problem: Problem, *, retry_after: int | None = None, message: str = "") -> None:
        super().__init__(message or problem.message)
        self.problem = problem
        self.message = message or problem.message
        self.retry_after = retry_after

    def body(self) -> dict[str, dict[str, str]]:
        """The error body of the contract; `request_id` finds the call in the logs."""
        error = {"code": self.problem.code, "message": self.message}
        if request_id := request_ids.current():
            error["request_id"] = request_id
        return {"error": error}
