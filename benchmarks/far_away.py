"""An HTTP proxy that makes DynamoDB Local as far away as DynamoDB is, and as quick to read.

    python -m benchmarks.far_away URL [MILLISECONDS]

It prints its own address. Each answer comes that many milliseconds later (default: 20), even if
several requests come at once. DynamoDB Local handles one after the other, and takes a third of a
second for a page of an index. So an answer to a request that only reads is kept, and is the answer
to the same request from then on: run a program once before you measure it.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from urllib.parse import urlsplit

READS = (b"Query", b"Scan", b"BatchGetItem", b"GetItem", b"DescribeTable")


@dataclass
class FarAway:
    """A proxy in front of a server, with the answers that it keeps."""

    host: str
    port: int
    seconds: float
    # Kept also if a client doesn't wait for them: it asks again.
    _answers: dict[tuple[bytes, bytes], asyncio.Task[bytes]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while True:
                head, body = await message(reader)
                answer, _ = await asyncio.gather(
                    self._answer(head, body), asyncio.sleep(self.seconds)
                )
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        operation = header(head, b"x-amz-target").rpartition(b".")[2]
        if operation not in READS:
            return await self._ask(head, body)
        if (operation, body) not in self._answers:
            self._answers[operation, body] = asyncio.create_task(self._ask(head, body))
        return await asyncio.shield(self._answers[operation, body])

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(head + body)
            return b"".join(await message(reader))
        finally:
            writer.close()


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the body of a request or an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    if header(head, b"transfer-encoding") != b"chunked":
        return head, await reader.readexactly(int(header(head, b"content-length") or 0))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    length = b"Content-Length: %d" % len(body)
    return head.replace(b"Transfer-Encoding: chunked", length), body


def header(head: bytes, name: bytes) -> bytes:
    """Return the value of a header; empty if it isn't there."""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


async def main() -> None:
    """Serve until the process is stopped."""
    target = urlsplit(sys.argv[1])
    seconds = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.02
    proxy = FarAway(target.hostname or "127.0.0.1", target.port or 80, seconds)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
