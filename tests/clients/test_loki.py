"""Loki's clients for Python push through Bywash to a server of our own that reads pushes with code of its own."""

import http.server
import logging
import threading
import time
import urllib.error
import urllib.request

import cramjam
import logging_loki
import pytest
from conftest import LokiBywash, eventually


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    """A varint, or a length-delimited field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def push(streams):
    """A PushRequest of (labels, [(nanoseconds, line, metadata)]), in a block of snappy."""
    request = b""
    for labels, entries in streams:
        stream = field(1, labels)
        for nanos, line, metadata in entries:
            time = field(1, nanos // 10**9) + field(2, nanos % 10**9)
            pairs = b"".join(field(3, field(1, k) + field(2, v)) for k, v in metadata.items())
            stream += field(2, field(1, time) + field(2, line) + pairs)
        request += field(1, stream)
    return bytes(cramjam.snappy.compress_raw(request))


def fields(message):
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        else:
            assert tag & 7 == 2, "Loki's messages have no other wire types"
            length = number()
            yield tag >> 3, message[at : at + length]
            at += length


def read(body):
    """The streams of a push, as push() takes them."""
    streams = []
    for _, stream in fields(bytes(cramjam.snappy.decompress_raw(body))):
        labels, entries = "", []
        for number, value in fields(stream):
            if number == 1:
                labels = value.decode()
            elif number == 2:
                entry = {n: v for n, v in fields(value) if n != 3}
                pairs = (dict(fields(v)) for n, v in fields(value) if n == 3)
                when = dict(fields(entry[1]))
                nanos = when.get(1, 0) * 10**9 + when.get(2, 0)
                entries.append((nanos, entry.get(2, b"").decode(), {p[1].decode(): p[2].decode() for p in pairs}))
        streams.append((labels, entries))
    return streams


class Loki:
    """Takes pushes, and refuses the first ones as told."""

    def __init__(self, refusals=()):
        self.pushes, self.refused, refusals = [], 0, list(refusals)
        loki = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/x-protobuf"
                status = refusals.pop(0) if refusals else 204
                if status == 204:
                    loki.pushes.append((self.headers.get("x-scope-orgid"), read(body)))
                else:
                    loki.refused += 1
                self.send_response(status)
                if status == 429:
                    self.send_header("retry-after", "1")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = "%s:%d" % self.server.server_address

    def entries(self):
        return [(tenant, labels, entry) for tenant, push in list(self.pushes) for labels, entries in push for entry in entries]


@pytest.fixture
def loki():
    server = Loki()
    yield server
    server.server.shutdown()


@pytest.fixture
def through(loki, tmp_path):
    process = LokiBywash(loki.address, tmp_path)
    yield process
    assert process.stop() == 0


def post(url, body, **headers):
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_push_arrives_as_it_was(loki, through):
    """Scenario: two streams in protobuf and snappy, with structured metadata, for a tenant. Guarantee: they arrive as they were."""
    now = time.time_ns()
    streams = [
        ('{job="a", path="C:\\\\x\\"y\\""}', [(now, "one", {"trace_id": "abc"}), (now, "two ü", {}), (now - 5, "", {})]),
        ('{job="b"}', [(now + 1, "three\n", {"k": "v", "l": ""})]),
    ]
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Scope-OrgID": "acme"}
    assert post(through.push, push(streams), **headers) == (204, b"")
    wanted = [("acme", labels, entry) for labels, entries in streams for entry in entries]
    eventually("the entries", lambda: len(loki.entries()) >= len(wanted))
    assert sorted(loki.entries(), key=str) == sorted(wanted, key=str)
    by_stream = lambda entries: [e for _, labels, e in entries if labels.startswith('{job="a"')]
    assert by_stream(loki.entries()) == by_stream(wanted), "the order within a stream"


def test_broken_pushes_are_refused(loki, through):
    """Scenario: no snappy, no labels, no JSON. Guarantee: 400 with a reason, and nothing arrives."""
    for body, kind, reason in [
        (b"\xff\xff", "application/x-protobuf", b"cannot be decompressed"),
        (push([("{job=", [(1, "x", {})])]), "application/x-protobuf", b"couldn't parse labels"),
        (b"{", "application/json", b"line 1"),
    ]:
        status, text = post(through.push, body, **{"Content-Type": kind})
        assert status == 400 and reason in text, text
    assert loki.entries() == []


@pytest.mark.parametrize("version", ["0", "1"])
def test_python_logging_loki(loki, through, version):
    """Scenario: the logging handler of python-logging-loki, with the old and the new form of JSON. Guarantee: each line arrives with its labels."""
    url = through.push if version == "1" else through.push.replace("/loki/api/v1/push", "/api/prom/push")
    handler = logging_loki.LokiHandler(url=url, tags={"application": "shop"}, version=version)
    logger = logging.getLogger(f"loki-{version}")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    failures = []
    handler.handleError = lambda record: failures.append(record)
    for i in range(20):
        logger.warning("order %d", i, extra={"tags": {"service": "cart"}})
    assert failures == []
    eventually("the lines", lambda: len(loki.entries()) >= 20)
    assert sorted(entry[1] for _, _, entry in loki.entries()) == sorted(f"order {i}" for i in range(20))
    labels = {labels for _, labels, _ in loki.entries()}
    assert labels == {f'{{application="shop", logger="loki-{version}", service="cart", severity="warning"}}'}


def test_refusals_are_sent_again(tmp_path):
    """Scenario: 429 with a delay, 500, then success. Guarantee: the push is sent again and arrives once."""
    loki = Loki([429, 500])
    through = LokiBywash(loki.address, tmp_path)
    assert post(through.push, push([('{a="b"}', [(1, "x", {})])]), **{"Content-Type": "application/x-protobuf"})[0] == 204
    eventually("the entry", lambda: loki.entries())
    assert through.stop() == 0
    assert (loki.refused, loki.entries()) == (2, [(None, '{a="b"}', (1, "x", {}))])
    loki.server.shutdown()
