"""A stack on the real broker whose services are tiny stand-ins: `python stand_ins.py DATA_DIR [stubborn] [large]`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import typer

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import Settings
from smartlearn.ops.local import embedded
from smartlearn.ops.local.components import Components
from smartlearn.ops.local.process import Program
from smartlearn.ops.local.stack import Plan, Stack

IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if "stubborn" in sys.argv else ""
SERVICE = (
    f"import os, signal, time; {IGNORE}"
    "print(os.environ['SMARTLEARN_KAFKA__EPOCH'], os.environ.get('SMARTLEARN_WORKER_NAME'), flush=True)\n"
    "while True: time.sleep(60)"
)
DASHBOARD = f"""
import http.server, os, signal
{IGNORE}
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{{"status":"ok"}}')
address = (os.environ["SMARTLEARN_DASHBOARD__HOST"], int(os.environ["SMARTLEARN_DASHBOARD__PORT"]))
http.server.ThreadingHTTPServer(address, Health).serve_forever()
"""


class StandIns(Components):
    """The real broker; all else only lives."""

    def worker(self, name: str) -> Program:
        return Program(
            name,
            (sys.executable, "-S", "-c", SERVICE),
            lambda: {**self.environment(), "SMARTLEARN_WORKER_NAME": name},
            grace_s=0.5,
        )

    def dashboard(self) -> Program:
        real = super().dashboard()
        return Program("dashboard", (sys.executable, "-c", DASHBOARD), self.environment, ready=real.ready)

    def agent(self) -> Program:
        return Program("agent", (sys.executable, "-S", "-c", SERVICE), self.environment)

    def demo(self) -> Program:
        return Program("demo", (sys.executable, "-S", "-c", "print('filled')"), self.environment, once=True)


async def run() -> int:
    plan = Plan(Settings(data_dir=Path(sys.argv[1])), workers=2, demo=True, port=0)
    if "large" in sys.argv:
        # No stand-in says how far it is; every broker is larger than this.
        vars(embedded)["drained"] = lambda *_arguments: True
        plan = replace(plan, upkeep_s=2.0, broker_bytes=1)

    def warn(sentence: str) -> None:
        typer.echo(sentence, err=True)

    return await Stack(plan, say=typer.echo, warn=warn, components=StandIns).run()


if __name__ == "__main__":
    try:
        raise SystemExit(asyncio.run(run()))
    except SmartLearnError as error:
        raise SystemExit(str(error)) from None
