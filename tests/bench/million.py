"""A million cases in PostgreSQL, 100,000 in SQLite: how long staff wait for the queue, a filter, a number, a phone, words.

    .venv/bin/python -m tests.bench.million            # both, with a server of its own from Debian's package
    .venv/bin/python -m tests.bench.million --cases 20000 --runs 50

Times are of `bot.cases.search` and the lines of `bot.cases.display`: query, decryption and masking of 50 cases, in one
process on a warm server. The cases are made up in bulk: keyed hashes of phones and words are real and so are the
distributions, but 500 sealed records are shared by all cases, so that sealing does not take an hour. Their text is
therefore not what the blind index says of them; no query reads it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session, sessionmaker

from bot.cases import search, terms
from bot.cases.display import line
from bot.cases.models import STATUSES, Case, CaseDraft, CaseTerm, CaseType
from bot.cases.receipts import compose
from bot.cases.routing import table
from bot.crypto import DataKey, data_key, set_data_key
from bot.storage import Base, make_engine, make_sessions, upgrade
from tests.bench.machine import describe, load

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 7, 4, tzinfo=timezone.utc)
DAYS = 1095
PAGE = 50
WORDS_EACH = 22  # distinct words of a case that the index holds
BUDGET_MS = 200.0
FACTS = "在{shop}买的{goods}，{when}发现{fault}，找了三次都说等通知，要求{wish}。联系电话139{tail}。"
GOODS = ["口罩", "酸奶", "电饭锅", "羽绒服", "充值卡", "手机壳", "轮胎", "保健品", "学步车", "净水器"]
FAULT = ["一撕就破", "过期变质", "漏电冒烟", "钻绒严重", "关门跑路", "以次充好", "鼓包开裂", "虚假宣传"]
WISH = ["退款", "换货", "三倍赔偿", "修理", "公开道歉"]


def vocabulary(rng: random.Random, size: int) -> list[str]:
    """Words from jieba's dictionary, the frequent ones first: text follows their frequency (Zipf)."""
    terms.warm()
    known = terms._tokenizer().FREQ
    words = [w for w, n in known.items() if n and 2 <= len(w) <= 4 and "一" <= w[0] <= "鿿"]
    words.sort(key=lambda word: -known[word])
    return words[:size]


class Maker:
    """Makes cases, always the same ones for a seed."""

    def __init__(self, count: int, seed: int = 12315) -> None:
        self.count, self.rng = count, random.Random(seed)
        self.words = vocabulary(self.rng, 20_000)
        weights = [1 / (rank + 8) for rank in range(len(self.words))]
        self.drawn = self.rng.choices(range(len(self.words)), weights, k=2_000_000)
        self.hashed = [terms.term("word", word) for word in self.words]
        self.shops = [f"{a}{b}超市" for a, b in itertools.product(self.words[300:500], self.words[900:1100])]
        self.shop_terms = [terms.term("name", terms.whole_name(shop)) for shop in self.shops]
        rules = [rule.department for rule in table().rules]
        self.departments = list(dict.fromkeys(rules + [d.department for d in table().defaults.values()]))
        self.phones = [f"13{self.rng.randrange(10**9):09d}" for _ in range(max(1000, count * 6 // 10))]
        self.sealed = [self._sealed() for _ in range(500)]

    def _sealed(self) -> bytes:
        import json

        fields = {
            "name": "韩梅",
            "phone": "13904321187",
            "respondent": self.rng.choice(self.shops),
            "facts": FACTS.format(
                shop=self.rng.choice(self.shops),
                goods=self.rng.choice(GOODS),
                when="上周",
                fault=self.rng.choice(FAULT),
                wish=self.rng.choice(WISH),
                tail=f"{self.rng.randrange(10**8):08d}",
            ),
            "request": self.rng.choice(WISH),
        }
        return data_key().encrypt(json.dumps(fields, ensure_ascii=False, sort_keys=True), "cases.fields")

    def cases(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """(columns, terms) of each case, oldest first."""
        rng, phone_hash = self.rng, data_key().phone_hash
        each, serial, day = self.count / DAYS, 0, TODAY - timedelta(days=DAYS)
        at = 0
        for index in range(self.count):
            current = TODAY - timedelta(days=DAYS - 1 - min(int(index / each), DAYS - 1))
            serial, day = (serial + 1, day) if current == day else (1, current)
            type = rng.choices(list(CaseType), (45, 35, 15, 5))[0]
            number, code = compose(type, day, serial)
            age = (TODAY - day).days
            closed = rng.random() < (0.995 if age > 45 else age / 60)
            anonymous = type is CaseType.REPORT and rng.random() < 0.3
            created = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(
                seconds=rng.randrange(50_000)
            )
            chosen = set(self.drawn[at : at + WORDS_EACH])
            at = (at + WORDS_EACH) % (len(self.drawn) - WORDS_EACH)
            shop = rng.randrange(len(self.shops))
            yield (
                {
                    "number": number,
                    "sms_code": code,
                    "type": type.value,
                    "status": rng.choice(STATUSES[type]) if closed else STATUSES[type][rng.randrange(2)],
                    "draft_id": "million",
                    "part": index,
                    "conversation_id": f"c{index}",
                    "channel": rng.choices(("widget", "sms", "wechat", "phone"), (50, 10, 25, 15))[0],
                    "confirmed_by_message": f"m{index}",
                    "fields": rng.choice(self.sealed),
                    "phone_hash": None if anonymous else phone_hash(rng.choice(self.phones)),
                    "query_code_hash": "0" * 64 if anonymous else None,
                    "anonymous": anonymous,
                    "confidential": False,
                    "department": self.departments[
                        min(int(rng.expovariate(0.25)), len(self.departments) - 1)
                    ],
                    "routing_reason": "命中：退款",
                    "created_at": created,
                    "stage": "archived" if closed else rng.choice(("waiting", "dispatched", "handling")),
                    "urgent": rng.random() < 0.02,
                    "assignee_id": f"staff-{rng.randrange(60)}" if rng.random() < 0.8 else None,
                    "supervised": False,
                    "due_on": None
                    if closed or type in (CaseType.REQUEST, CaseType.SUGGESTION)
                    else day + timedelta(days=rng.randrange(9, 25)),
                    "updated_at": created,
                    "closed_at": created + timedelta(days=9) if closed else None,
                },
                [self.hashed[word] for word in chosen] + [self.shop_terms[shop]],
            )


def fill_postgres(url: str, maker: Maker) -> None:
    """COPY, with the blind index's key built at the end."""
    import psycopg

    columns = [c.name for c in Case.__table__.columns if c.name not in _UNSET]
    native = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(native) as connection, tempfile.TemporaryFile("w+b") as pairs:
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY cases ({', '.join(columns)}) FROM STDIN") as copy:
                for row, found in maker.cases():
                    copy.write_row([row[name] for name in columns])
                    code = int(row["sms_code"])
                    pairs.write("".join(f"{term}\t{code}\n" for term in set(found)).encode())
            cursor.execute("ALTER TABLE case_terms DROP CONSTRAINT pk_case_terms")
            pairs.seek(0)
            with cursor.copy("COPY case_terms (term, code) FROM STDIN") as copy:
                while block := pairs.read(1 << 20):
                    copy.write(block)
            cursor.execute("SET maintenance_work_mem = '512MB'")
            cursor.execute("ALTER TABLE case_terms ADD CONSTRAINT pk_case_terms PRIMARY KEY (term, code)")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE cases")
        connection.execute("VACUUM ANALYZE case_terms")


_UNSET = ("twin_number", "duplicate_of", "platform_reg_no", "erased_at")


def fill_sqlite(url: str, maker: Maker) -> None:
    """executemany in blocks; the pairs sorted, as a table without row ids is its own index."""
    engine = make_engine(url)
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("PRAGMA synchronous = OFF")
    columns = [c.name for c in Case.__table__.columns if c.name not in _UNSET]
    marks = ", ".join("?" * len(columns))
    pairs: list[tuple[int, int]] = []
    cursor.execute("BEGIN")

    def flat(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")
        return value.isoformat() if isinstance(value, date) else value

    block: list[list[Any]] = []
    statement = f"INSERT INTO cases ({', '.join(columns)}) VALUES ({marks})"
    for row, found in maker.cases():
        block.append([flat(row[name]) for name in columns])
        code = int(row["sms_code"])
        pairs += [(term, code) for term in set(found)]
        if len(block) == 5000:
            cursor.executemany(statement, block)
            block = []
    cursor.executemany(statement, block)
    pairs.sort()
    cursor.executemany("INSERT INTO case_terms (term, code) VALUES (?, ?)", pairs)
    cursor.execute("COMMIT")
    cursor.execute("ANALYZE")
    raw.close()
    engine.dispose()


def fill(url: str, maker: Maker) -> float:
    """Migrate and fill an empty database; seconds."""
    began = time.perf_counter()
    upgrade(url)
    sessions = make_sessions(engine := make_engine(url))
    with sessions.begin() as session:
        session.execute(
            insert(CaseDraft).values(
                id="million",
                conversation_id="million",
                state="submitted",
                data={},
                created_at=NOW,
                updated_at=NOW,
            )
        )
    engine.dispose()
    (fill_sqlite if url.startswith("sqlite") else fill_postgres)(url, maker)
    return time.perf_counter() - began


# -- measuring --------------------------------------------------------------------------------------

Work = Callable[[Session, random.Random], Any]


def operations(maker: Maker, samples: list[str]) -> dict[str, Work]:
    """What staff do; each call draws its own words, numbers and places."""
    middle = len(samples)
    none = search.Filters()

    def page(session: Session, filters: search.Filters, **more: Any) -> list[dict[str, Any]]:
        found = search.cases(session, filters, today=TODAY, limit=PAGE, **more)
        return [line(case, TODAY) for case in found.cases]

    def find(
        session: Session, words: str, filters: search.Filters = none, **more: Any
    ) -> list[dict[str, Any]]:
        found = search.look_up(session, words, filters, today=TODAY, limit=PAGE, **more)
        return [line(case, TODAY) for case in found.cases]

    def word(rng: random.Random, low: int, high: int) -> str:
        return maker.words[rng.randrange(low, high)]

    def deep(session: Session, rng: random.Random) -> Any:
        mark = search._mark("newest", samples[rng.randrange(middle)])
        return page(session, none, after=mark)

    def deep_word(session: Session, rng: random.Random) -> Any:
        mark = search._mark("words", int(samples[rng.randrange(middle)]))
        return find(session, word(rng, 0, 200), after=mark)

    return {
        "queue, newest first": lambda s, r: page(s, none),
        "queue, open by urgency": lambda s, r: page(s, search.Filters(open=True), order="urgent"),
        "queue, open by due date": lambda s, r: page(s, search.Filters(open=True), order="due"),
        "live counts": lambda s, r: search.counts(s, TODAY),
        "page at a random depth": deep,
        "filter status and type": lambda s, r: page(
            s, search.Filters(type="T", status=r.choice(STATUSES[CaseType.COMPLAINT]))
        ),
        "filter stage (open)": lambda s, r: page(s, search.Filters(stage=r.choice(("waiting", "handling")))),
        "filter department": lambda s, r: page(s, search.Filters(department=r.choice(maker.departments))),
        "filter department and overdue": lambda s, r: page(
            s, search.Filters(department=r.choice(maker.departments), overdue=True)
        ),
        "filter assignee and open": lambda s, r: page(
            s, search.Filters(assignee=f"staff-{r.randrange(60)}", open=True)
        ),
        "filter supervised": lambda s, r: page(s, search.Filters(supervised=True)),
        "filter that fits nothing": lambda s, r: page(s, search.Filters(department="没有这个部门")),
        "number": lambda s, r: find(s, samples[r.randrange(middle)]),
        "phone": lambda s, r: find(s, r.choice(maker.phones)),
        "word, frequent": lambda s, r: find(s, word(r, 0, 200)),
        "word, rare": lambda s, r: find(s, word(r, 5000, 20000)),
        "word at a random depth": deep_word,
        "two words, frequent": lambda s, r: find(s, f"{word(r, 0, 200)}，{word(r, 0, 200)}"),
        "two words, mixed": lambda s, r: find(s, f"{word(r, 0, 200)}，{word(r, 2000, 8000)}"),
        "two words, rare": lambda s, r: find(s, f"{word(r, 2000, 20000)}，{word(r, 2000, 20000)}"),
        "word and filter": lambda s, r: find(
            s, word(r, 0, 400), search.Filters(department=r.choice(maker.departments), open=True)
        ),
        "respondent's whole name": lambda s, r: find(s, r.choice(maker.shops)),
    }


def measure(sessions: sessionmaker[Session], work: Work, runs: int) -> tuple[float, float, float]:
    """(p50, p95, longest) in milliseconds after five calls to warm up."""
    rng, times = random.Random(7), []
    for index in range(runs + 5):
        began = time.perf_counter()
        with sessions() as session:
            work(session, rng)
        if index >= 5:
            times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return statistics.median(times), times[max(0, -(-95 * len(times) // 100) - 1)], times[-1]


def run(name: str, url: str, count: int, runs: int, out: list[str], filled: bool = False) -> bool:
    """Fill (unless it is `filled`) and measure one database; whether all of it is within the budget."""
    maker = Maker(count)
    seconds = "before" if filled else f"in {fill(url, maker):.0f} s"
    engine = make_engine(url)
    sessions = make_sessions(engine, read_only=True)
    with sessions() as session:
        pairs = session.scalar(text("SELECT count(*) FROM case_terms"))
        open_ = session.scalar(text("SELECT count(*) FROM cases WHERE closed_at IS NULL"))
        step = max(count // 5000, 1)
        codes = session.scalars(text("SELECT sms_code FROM cases ORDER BY sms_code")).all()[::step]
    out += [
        "",
        f"## {name}: {count:,} cases",
        "",
        f"{open_:,} open, {pairs:,} rows in the blind index, filled {seconds}, {runs} calls each, load average {load()} at the start.",
        "",
        "| what | p50 ms | p95 ms | longest ms |",
        "|---|---|---|---|",
    ]
    fine = True
    for what, work in operations(maker, list(codes)).items():
        p50, p95, longest = measure(sessions, work, runs)
        fine = fine and p95 <= BUDGET_MS
        out.append(
            f"| {what} | {p50:.1f} | {p95:.1f}{'' if p95 <= BUDGET_MS else ' **over**'} | {longest:.1f} |"
        )
        print(f"{name:12} {what:32} p50 {p50:8.1f}  p95 {p95:8.1f}  longest {longest:8.1f}", flush=True)
    engine.dispose()
    return fine


@contextlib.contextmanager
def server() -> Iterator[tuple[str, str]]:
    """A PostgreSQL server of Debian's package on a port of its own: (URL, version)."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="million-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        account = {"user": "postgres", "group": "postgres", "cwd": "/"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        subprocess.run([programs[-1] / program, *arguments], check=True, stdout=subprocess.DEVNULL, **account)

    data = str(home / "data")
    options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off -c shared_buffers=512MB -c max_wal_size=4GB"
    try:
        call("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D", data)
        call("pg_ctl", "-w", "-D", data, "-l", str(home / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres", programs[-1].parent.name
        finally:
            call("pg_ctl", "-w", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    """Fill, measure, write docs/bench/million.md; exit 1 if a p95 is over 200 ms."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000, help="in PostgreSQL; SQLite gets a tenth")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", choices=("postgresql", "sqlite"))
    parser.add_argument(
        "--measure", metavar="URL", help="measure a database that an earlier run filled, leave it be"
    )
    parser.add_argument("--write", type=Path, help="file to write the tables to")
    options = parser.parse_args()
    assert CaseTerm.__table__ in Base.metadata.sorted_tables
    out = [
        "# A million cases",
        "",
        (__doc__ or "").split("\n\n")[-1].replace("\n", " "),
        "",
        f"Machine: {describe()}",
    ]
    fine = True
    with tempfile.TemporaryDirectory(prefix="million-home-") as home:
        os.environ["HOTLINE_HOME"] = home
        set_data_key(DataKey(bytes(range(32))))
        if options.measure:
            kind = "SQLite" if options.measure.startswith("sqlite") else "PostgreSQL"
            fine = run(kind, options.measure, options.cases, options.runs, out, filled=True)
        elif options.only != "sqlite":
            with server() as (url, version):
                fine &= run(f"PostgreSQL {version}", url, options.cases, options.runs, out)
        if options.only != "postgresql" and not options.measure:
            fine &= run("SQLite", f"sqlite:///{home}/million.db", options.cases // 10, options.runs, out)
    report = "\n".join(out) + "\n"
    if options.write:
        options.write.write_text(report, "utf-8")
    print(report)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
