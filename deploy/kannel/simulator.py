#!/usr/bin/env python3
"""Phones before a real Kannel: runs Kannel's own `fakesmsc` and speaks Chinese with it.

    bearerbox deploy/kannel/kannel.conf & smsbox deploy/kannel/kannel.conf &
    deploy/kannel/simulator.py 13800138000

Every line typed is an SMS from that number; what the hotline answers is printed, parts joined. Standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass

FAKESMSC = "/usr/lib/kannel/test/fakesmsc"
EACH = 67  # UTF-16 units of a part
NOBODY = "10000000000"
_TAKEN = re.compile(rb"fakesmsc: sent message \d+")
PATIENCE = 15.0  # seconds for fakesmsc to take a line
_GOT = re.compile(rb"Got message \d+: <(\S+) (\S+) (.*)>\s*$")


@dataclass(frozen=True)
class Part:
    """One SMS as a phone gets it; `of` parts belong together by `reference`."""

    sender: str
    to: str
    text: str
    reference: int = 0
    number: int = 1
    of: int = 1


def _quoted(data: bytes) -> str:
    return urllib.parse.quote(data, safe="")


def _unquoted(text: bytes) -> bytes:
    return urllib.parse.unquote_to_bytes(text.replace(b"+", b" "))


def _decoded(line: bytes) -> Part | None:
    found = _GOT.search(line)
    if found is None:
        return None
    sender, to, rest = found[1].decode(), found[2].decode(), found[3].split(b" ")
    kinds = dict(zip(rest[::2], rest[1::2]))
    body = _unquoted(kinds.get(b"ucs-2") or kinds.get(b"data") or b"")
    header = _unquoted(kinds.get(b"udh", b""))
    if b"text" in kinds:
        return Part(sender, to, urllib.parse.unquote_plus(kinds[b"text"].decode()))
    text = body.decode("utf-16-be", "replace")
    if len(header) == 6:
        return Part(sender, to, text, header[3], header[5], header[4])
    return Part(sender, to, text)


class Phones:
    """A running simulator: `send` an SMS from any number, read `parts` that arrived."""

    def __init__(self, port: int = 10000, interval: float = 0.05) -> None:
        self.parts: list[Part] = []
        self._reference = 0
        self._taken = 0
        self.process = subprocess.Popen(
            [FAKESMSC, "-H", "127.0.0.1", "-r", str(port), "-i", str(interval)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._taken += bool(_TAKEN.search(line))
            part = _decoded(line)
            if part is not None:
                self.parts.append(part)

    def _line(self, text: str) -> None:
        assert self.process.stdin is not None
        wanted = self._taken + 1
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        # A line that comes while fakesmsc is busy with another one stays in its buffer until a third one comes.
        while self._taken < wanted and time.monotonic() < deadline:
            time.sleep(0.02)

    def send(self, number: str, text: str, to: str = "12315") -> int:
        """Send an SMS, in joined parts if it is long; the number of parts."""
        data = text.encode("utf-16-be")
        if len(data) <= 140:
            self._line(f"{number} {to} ucs2 {_quoted(data)}")
            return 1
        self._reference = self._reference % 255 + 1
        pieces = [data[i : i + 2 * EACH] for i in range(0, len(data), 2 * EACH)]
        for index, piece in enumerate(pieces, 1):
            header = bytes([5, 0, 3, self._reference, len(pieces), index])
            # fakesmsc knows no coding together with a header: the text goes as eight-bit data.
            self._line(f"{number} {to} udh {_quoted(header)} {_quoted(piece)}")
        for _ in range(2):
            # Kannel's fake SMSC leaves the last of many lines in its buffer until another one comes: a blank SMS.
            time.sleep(1.0)
            self._line(f"{NOBODY} {to} ucs2 {_quoted(' '.encode('utf-16-be'))}")
        return len(pieces)

    def texts(self, number: str) -> list[str]:
        """The whole messages that a number got, in order; an incomplete one is left out."""
        whole: list[str] = []
        joined: dict[int, dict[int, str]] = {}
        for part in [p for p in self.parts if p.to == number]:
            if part.of == 1:
                whole.append(part.text)
                continue
            known = joined.setdefault(part.reference, {})
            known[part.number] = part.text
            if len(known) == part.of:
                whole.append("".join(known[n] for n in sorted(known)))
                del joined[part.reference]
        return whole

    def close(self) -> None:
        """End the simulator."""
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """A phone on the terminal."""
    number = sys.argv[1] if len(sys.argv) > 1 else "13800138000"
    phones = Phones(int(sys.argv[2]) if len(sys.argv) > 2 else 10000)

    def show() -> None:
        shown = 0
        while True:
            for text in phones.texts(number)[shown:]:
                shown += 1
                print(f"< {text}", flush=True)
            time.sleep(0.2)

    threading.Thread(target=show, daemon=True).start()
    try:
        for line in sys.stdin:
            if line.strip():
                phones.send(number, line.strip())
    except KeyboardInterrupt:
        pass
    finally:
        phones.close()


if __name__ == "__main__":
    main()
