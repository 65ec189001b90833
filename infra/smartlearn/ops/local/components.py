"""The programs of a stack: their commands, environments, and how each is known to be ready."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from smartlearn.core.errors import StackError
from smartlearn.core.settings import KafkaSettings
from smartlearn.ops.local.broker import accepts, broker_program
from smartlearn.ops.local.datadir import are_workers_held
from smartlearn.ops.local.process import Program

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


@dataclass
class Components:
    """Makes the programs of one stack; environments are read at each start, so that they follow `kafka`.

    Attributes:
        data_dir: absolute.
        kafka: where the broker is, and its epoch; replaced when the embedded broker starts anew.
        host: where the dashboard listens.
        port: the dashboard's port.
    """

    data_dir: Path
    kafka: KafkaSettings
    host: str
    port: int

    @property
    def url(self) -> str:
        """The dashboard's address, as a browser on this machine opens it."""
        host = self._reachable_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def broker(self) -> Program:
        """The embedded broker."""
        assert self.kafka.bootstrap_servers is not None
        return broker_program(int(self.kafka.bootstrap_servers.rpartition(":")[2]))

    def worker(self, name: str) -> Program:
        """One Faust worker."""
        return Program(
            name,
            _python("smartlearn.stream_processors"),
            lambda: {**self.environment(), "SMARTLEARN_WORKER_NAME": name},
            held=lambda: are_workers_held(self.data_dir),
        )

    def dashboard(self) -> Program:
        """The dashboard."""

        async def ready() -> bool:
            return await accepts(self._reachable_host, self.port)

        return Program("dashboard", _python("smartlearn.dashboard"), self.environment, ready=ready, grace_s=1.0)

    def agent(self) -> Program:
        """The node agent of this machine."""
        return Program("agent", _python("smartlearn.producers"), self.environment)

    def demo(self) -> Program:
        """The demo: its history, then live."""
        return Program("demo", _python("smartlearn.ops.cli", "demo", "--live"), self.environment, once=True)

    def environment(self) -> dict[str, str]:
        """What tells a service of ours where everything is."""
        values = {
            "SMARTLEARN_DATA_DIR": str(self.data_dir),
            "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers or "",
            "SMARTLEARN_DASHBOARD__HOST": self.host,
            "SMARTLEARN_DASHBOARD__PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }
        return values if self.kafka.epoch is None else values | {"SMARTLEARN_KAFKA__EPOCH": self.kafka.epoch}

    @property
    def _reachable_host(self) -> str:
        return "127.0.0.1" if self.host in ANY_ADDRESS else self.host


_EXTRA_OF = {"faust": "worker", "dash": "dashboard"}


def require_services(*names: str) -> None:
    """Check that what a worker ("faust") or the dashboard ("dash") stands on is installed; all of it by default.

    Raises:
        StackError: something is missing; names it.
    """
    missing = [name for name in names or tuple(_EXTRA_OF) if name not in sys.modules and find_spec(name) is None]
    if missing:
        raise StackError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: "
            f"pip install 'smartlearn-metrics[{_EXTRA_OF[names[0]] if len(names) == 1 else 'local'}]'"
        )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
