from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from smartlearn.ops.local import leash
from smartlearn.ops.local.process import Backoff, Program, Supervised

PATIENCE_S = 20.0
FOREVER = "import time\nwhile True: time.sleep(60)"
STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "while True: time.sleep(60)"
)
QUICK = Backoff(first_s=0.05, ceiling_s=0.2, healthy_s=60)


def python(name: str, code: str, **options: object) -> Program:
    return Program(name, (sys.executable, "-S", "-c", code), **options)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  other processes tell no event
            await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def supervised(test: Callable[[Supervised], Awaitable[None]], program: Program, log: Path, **options: object) -> None:
    async def run() -> None:
        part = Supervised(program, log, **options)  # type: ignore[arg-type]
        part.start()
        try:
            await test(part)
        finally:
            await part.stop(0.1)
        assert part.component.model_dump() == {"name": program.name, "pid": None, "state": "stopped"}

    asyncio.run(run())


def test_a_killed_program_runs_again_with_another_pid(tmp_path: Path) -> None:
    deaths: list[tuple[str, int, float]] = []

    async def test(part: Supervised) -> None:
        await part.ready.wait()
        first = part.pid
        assert first is not None
        assert part.state == "running"
        os.kill(first, signal.SIGKILL)
        await until(lambda: part.pid not in (None, first) and part.state == "running")
        assert deaths == [("sleeper", -signal.SIGKILL, 0.05)]

    supervised(
        test,
        python("sleeper", FOREVER),
        tmp_path / "sleeper.log",
        backoff=QUICK,
        died=lambda *death: deaths.append(death),
    )


def test_a_program_that_always_dies_is_started_for_ever_with_growing_waits(tmp_path: Path) -> None:
    waits: list[float] = []

    async def test(part: Supervised) -> None:
        await until(lambda: len(waits) >= 5)

    supervised(
        test,
        python("broken", "raise SystemExit(3)"),
        tmp_path / "broken.log",
        backoff=QUICK,
        died=lambda _name, _code, delay: waits.append(delay),
    )
    assert waits[:5] == [0.05, 0.1, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    ("previous", "lived", "wait"),
    [(None, 0, 0.2), (0.2, 1, 0.4), (16.0, 29.9, 30.0), (30.0, 1, 30.0), (30.0, 30.0, 0.2)],
)
def test_waits_double_up_to_the_ceiling_and_start_over_after_a_healthy_life(
    previous: float | None, lived: float, wait: float
) -> None:
    assert Backoff().after(previous, lived) == wait


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    async def run() -> None:
        part = Supervised(python("stubborn", STUBBORN), tmp_path / "log")
        part.start()
        await until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "up\n")
        pid = part.pid
        assert pid is not None
        started = time.monotonic()
        assert not await part.stop(0.3)
        assert 0.3 <= time.monotonic() - started < 5
        assert not alive(pid)

    asyncio.run(run())


def test_what_a_program_started_itself_does_not_outlive_it(tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {FOREVER!r}])\n"
        f"open({str(grandchild)!r}, 'w').write(str(child.pid) + ' ')\n"
        "time.sleep(60)"
    )

    async def run() -> None:
        part = Supervised(python("parent", code), tmp_path / "log")
        part.start()
        await until(lambda: grandchild.exists() and grandchild.read_text().endswith(" "))
        pid = int(grandchild.read_text())
        assert alive(pid)
        assert await part.stop(1.0)
        await until(lambda: not alive(pid))

    asyncio.run(run())


def test_a_program_that_runs_once_stays_ended_after_success(tmp_path: Path) -> None:
    deaths: list[str] = []

    async def run() -> None:
        part = Supervised(
            python("demo", "print('done')", once=True),
            tmp_path / "log",
            died=lambda name, _code, _delay: deaths.append(name),
        )
        part.start()
        await until(lambda: part.state == "stopped")
        await part.stop(1.0)

    asyncio.run(run())
    assert (tmp_path / "log").read_text() == "done\n"
    assert deaths == []


def test_a_program_counts_as_starting_until_it_answers(tmp_path: Path) -> None:
    answers = False

    async def ready() -> bool:
        return answers

    async def test(part: Supervised) -> None:
        nonlocal answers
        await until(lambda: part.pid is not None)
        assert part.component.model_dump()["state"] == "starting"
        answers = True
        await part.ready.wait()
        assert part.component.model_dump()["state"] == "running"

    supervised(test, python("slow", FOREVER, ready=ready), tmp_path / "log")


def test_a_restart_reads_the_environment_anew_and_does_not_wait(tmp_path: Path) -> None:
    epoch = ["one"]
    code = "import os, time\nprint(os.environ['EPOCH'], flush=True)\ntime.sleep(60)"
    log = tmp_path / "log"

    async def test(part: Supervised) -> None:
        await until(lambda: log.exists() and log.read_text() == "one\n")
        epoch[0] = "two"
        await part.restart()
        await until(lambda: log.read_text() == "one\ntwo\n")

    program = python("worker", code, environment=lambda: {"EPOCH": epoch[0]})
    supervised(test, program, log, backoff=Backoff(first_s=60), died=lambda *_: pytest.fail("no death"))


def test_a_command_that_does_not_exist_is_reported_in_the_log(tmp_path: Path) -> None:
    codes: list[int] = []

    async def test(part: Supervised) -> None:
        await until(lambda: len(codes) >= 1)

    supervised(
        test,
        Program("ghost", (str(tmp_path / "nothing"),)),
        tmp_path / "log",
        died=lambda _name, code, _delay: codes.append(code),
    )
    assert codes[0] != 0
    assert "nothing" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("help_from", ["kernel", "watcher"])
def test_a_program_dies_with_the_parent_that_was_killed(tmp_path: Path, help_from: str) -> None:
    if help_from == "kernel" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux kills the children of a dead parent")
    child_pid = tmp_path / "child"
    leash_code = (
        f"import sys; sys.path.insert(0, {str(Path(leash.__file__).parent)!r}); import leash; "
        + ("" if help_from == "kernel" else "leash.ask_kernel = lambda: False; ")
        + "leash.main(sys.argv[1:])"
    )
    code = f"import os, time; open({str(child_pid)!r}, 'w').write(str(os.getpid()) + ' '); time.sleep(60)"
    parent_code = (
        "import os, subprocess, sys, time\n"
        f"leash = [sys.executable, '-S', '-c', {leash_code!r}, str(os.getpid()), '--']\n"
        f"subprocess.Popen([*leash, sys.executable, '-S', '-c', {code!r}], start_new_session=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-S", "-c", parent_code])
    try:
        wait_until(lambda: child_pid.exists() and child_pid.read_text().endswith(" "))
        pid = int(child_pid.read_text())
        assert alive(pid)
        parent.kill()
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(pid))


def test_the_watcher_ends_with_the_command_it_watches_for(tmp_path: Path) -> None:
    leash_code = (
        f"import sys; sys.path.insert(0, {str(Path(leash.__file__).parent)!r}); import leash; "
        "leash.ask_kernel = lambda: False; leash.main(sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-S",
        "-c",
        leash_code,
        str(os.getpid()),
        "--",
        sys.executable,
        "-S",
        "-c",
        "pass",
    ]
    child = subprocess.Popen(command, start_new_session=True)
    assert child.wait(PATIENCE_S) == 0
    wait_until(lambda: not _group_exists(child.pid))


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
