"""A TCP relay: `python -m tests.chaos.relay 127.0.0.1:9092=10.0.0.1:9092 …` listens left and connects right."""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until either side ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def relay(listen: str, target: str) -> None:
    """Carry every connection on."""
    address, _, port = target.rpartition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    here, _, number = listen.rpartition(":")
    server = await asyncio.start_server(carry, here, int(number))
    await server.serve_forever()


async def main() -> None:
    """Relay all pairs of the command line."""
    pairs = [pair.split("=") for pair in sys.argv[1:]]
    await asyncio.gather(*(relay(listen, target) for listen, target in pairs))


if __name__ == "__main__":
    asyncio.run(main())
