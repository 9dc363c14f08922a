"""A log that cannot be written refuses nobody: on a full disk lines are lost, answers are not."""

import io

import structlog

from bot.logs import Unfailing


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_full_disk_does_not_reach_who_logs():
    logger = structlog.PrintLogger(Unfailing(Full()))
    logger.msg("a line")


def test_what_can_be_written_is():
    stream = io.StringIO()
    structlog.PrintLogger(Unfailing(stream)).msg("a line")
    assert stream.getvalue() == "a line\n"
