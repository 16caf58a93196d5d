"""Compressed bodies of requests."""

import gzip
import tracemalloc
import zlib

import pytest
from aiohttp import web

from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.rest import decompress

CONTENT = bytes(range(256)) * 10
MOST = len(CONTENT)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(CONTENT), "gzip"),
        (gzip.compress(CONTENT[:99]) + gzip.compress(CONTENT[99:]), "gzip"),
        (zlib.compress(CONTENT), "deflate"),
    ],
)
def test_a_body_up_to_the_limit_is_decompressed(body, encoding):
    assert decompress(body, encoding, MOST) == CONTENT
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        decompress(body, encoding, MOST - 1)


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (gzip.compress(CONTENT)[:-9], "gzip", "it ends within its compressed content"),
        (b"no gzip", "gzip", "cannot be read: Error -3"),
        (gzip.compress(CONTENT) + b"rest", "gzip", "cannot be read: Error -3"),
        (CONTENT, "br", "Content-Encoding br is not supported; expected gzip or deflate."),
    ],
)
def test_a_damaged_body_is_an_error(body, encoding, message):
    with pytest.raises(ServingError, match=message):
        decompress(body, encoding, MOST)


def test_of_a_bomb_no_more_than_the_limit_is_decompressed():
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        decompress(bomb * 3, "gzip", 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
