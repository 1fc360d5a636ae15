"""Bywash and its sink as processes, on ports of the system's choice. The binary is target/debug/bywash, or $BYWASH_BIN."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BYWASH = os.environ.get("BYWASH_BIN", str(ROOT / "target/debug/bywash"))
PATIENCE = 30

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0}}
      http: {{endpoint: 127.0.0.1:0}}
exporters:
  otlp_grpc: {{endpoint: {backend}, tls: {{insecure: true}}{keys}}}
service:
  ingest: {ingest}
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [otlp_grpc]}}
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}
"""


def eventually(what, ask):
    """Asks until the answer is true, and fails after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain: {what}"
        time.sleep(0.02)
    return answer


class Process:
    """A process whose output is collected, line by line, as JSON."""

    def __init__(self, *args):
        self.lines = []
        self.child = subprocess.Popen([BYWASH, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream in (self.child.stdout, self.child.stderr):
            threading.Thread(target=self._collect, args=(stream,), daemon=True).start()

    def _collect(self, stream):
        for line in stream:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"text": line})

    def find(self, what, matches):
        return eventually(what, lambda: next((line for line in list(self.lines) if matches(line)), None))

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)


class Sink(Process):
    def __init__(self):
        super().__init__("sink", "--grpc", "127.0.0.1:0", "--control", "127.0.0.1:0")
        listening = self.find("the sink", lambda line: "listening" in line)["listening"]
        self.grpc, self.control = listening["grpc"][0], listening["control"]

    def stats(self):
        with urllib.request.urlopen(f"http://{self.control}/stats", timeout=PATIENCE) as answer:
            return json.load(answer)

    def until(self, key, value):
        return eventually(f"{value} {key}", lambda: (stats := self.stats())[key] >= value and stats)

    def behave(self, query):
        request = urllib.request.Request(f"http://{self.control}/behave?{query}", method="POST")
        urllib.request.urlopen(request, timeout=PATIENCE).close()


class Bywash(Process):
    def __init__(self, sink, directory, ingest="async", keys=""):
        config = directory / "config.yaml"
        config.write_text(CONFIG.format(backend=sink.grpc, ingest=ingest, keys=keys))
        super().__init__("run", "--config", str(config))
        self.grpc, self.http, self.metrics_page = (self._address(what) for what in ("grpc", "http", "metrics"))

    def _address(self, what):
        listens = lambda line: line.get("message") == "listening" and what in (line.get("transport"), line.get("page"))
        return self.find(what, listens)["address"]

    def metric(self, name, *labels):
        """The sum over the series of this name with these labels."""
        with urllib.request.urlopen(f"http://{self.metrics_page}/metrics", timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        series = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return sum(float(v) for k, v in series if k.split("{")[0] == name and all(label in k for label in labels))


@pytest.fixture
def sink():
    process = Sink()
    yield process
    process.stop()


@pytest.fixture
def bywash(sink, tmp_path):
    process = Bywash(sink, tmp_path)
    yield process
    assert process.stop() == 0


@pytest.fixture
def sync_bywash(sink, tmp_path):
    """One that queues nothing: what the backend answers is what the sender is told."""
    process = Bywash(sink, tmp_path, ingest="sync")
    yield process
    assert process.stop() == 0


LOKI_CONFIG = """
receivers:
  loki:
    protocols: {{http: {{endpoint: 127.0.0.1:0}}}}
    use_incoming_timestamp: true
exporters:
  loki: {{endpoint: "http://{backend}/loki/api/v1/push", batch_wait: 50ms}}
service:
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [loki], exporters: [loki]}}
"""


class LokiBywash(Process):
    def __init__(self, backend, directory):
        config = directory / "loki.yaml"
        config.write_text(LOKI_CONFIG.format(backend=backend))
        super().__init__("run", "--config", str(config))
        listens = lambda line: line.get("message") == "listening" and line.get("transport") == "http"
        self.push = f"http://{self.find('loki', listens)['address']}/loki/api/v1/push"
