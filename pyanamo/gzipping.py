"""Gzip streams, packed and unpacked a piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE_BYTES = 1024 * 1024  # of what is unpacked: a little may become very much
_GZIP = 31  # zlib's wbits for a gzip stream


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip stream of the chunks."""
    compressor = zlib.compressobj(wbits=_GZIP)
    for chunk in chunks:
        if piece := compressor.compress(chunk):
            yield piece
    yield compressor.flush()


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a gzip stream. Raises `zlib.error` where it is damaged or cut off."""
    decompressor = zlib.decompressobj(wbits=_GZIP)
    for chunk in chunks:
        while chunk:
            yield decompressor.decompress(chunk, PIECE_BYTES)
            chunk = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise zlib.error("it is cut off")
