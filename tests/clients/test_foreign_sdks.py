"""The SDKs for JavaScript, Go and Java, and the collector's own exporters, send the same data to a backend directly and by way of Bywash: what arrives is the same, field by field."""

import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import Process, eventually
from recorder import Recorder

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BYWASH_CLIENTS_DIR", HERE.parents[1] / "target/clients"))

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0}}
      http: {{endpoint: 127.0.0.1:0}}
exporters:
  {exporter}
service:
  telemetry:
    logs: {{encoding: json}}
    metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [{name}]}}
    traces: {{receivers: [otlp], exporters: [{name}]}}
    metrics: {{receivers: [otlp], exporters: [{name}]}}
"""

# How Bywash sends it on: every encoding that it has, so that each SDK meets each.
OUT = {
    "grpc": ("otlp_grpc", "otlp_grpc: {{endpoint: {grpc}, tls: {{insecure: true}}}}"),
    "http": ("otlp_http", "otlp_http: {{endpoint: 'http://{http}'}}"),
    "json": ("otlp_http", "otlp_http: {{endpoint: 'http://{http}', encoding: json}}"),
}


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def copied(name):
    """The sources of a client, where they may be built."""
    shutil.copytree(HERE / name, BUILD / name, dirs_exist_ok=True)
    return BUILD / name


@pytest.fixture(scope="session")
def javascript():
    folder = copied("javascript")
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
    return ["node", str(folder / "send.js")]


@pytest.fixture(scope="session")
def go():
    folder = copied("go")
    run("go", "build", "-mod=mod", "-o", "send", ".", cwd=folder)
    return [str(folder / "send")]


@pytest.fixture(scope="session")
def java():
    folder = copied("java")
    run("mvn", "-q", "-B", "package", cwd=folder)
    return ["java", "-cp", f"{folder}/target/send.jar:{folder}/target/lib/*", "Send"]


@pytest.fixture(scope="session")
def collector():
    folder = copied("collector")
    run("go", "build", "-mod=mod", "-o", "send", ".", cwd=folder)
    return [str(folder / "send")]


class Gateway(Process):
    def __init__(self, backend, out, directory):
        name, exporter = OUT[out]
        text = CONFIG.format(exporter=exporter.format(grpc=backend.grpc, http=backend.http), name=name)
        config = directory / "gateway.yaml"
        config.write_text(text)
        super().__init__("run", "--config", str(config))
        listens = lambda what: lambda line: line.get("message") == "listening" and line.get("transport") == what
        self.grpc, self.http = (self.find(what, listens(what))["address"] for what in ("grpc", "http"))


@pytest.mark.parametrize("protocol,compression,out", [
    ("grpc", "gzip", "grpc"), ("grpc", "zstd", "http"), ("grpc", "snappy", "json"),
    ("proto", "gzip", "http"), ("proto", "zstd", "grpc"), ("proto", "lz4", "json"), ("proto", "deflate", "grpc"),
    ("json", "gzip", "json"), ("json", "none", "grpc"),
])
def test_the_collectors_exporters_are_understood(protocol, compression, out, tmp_path, collector):
    """Scenario: the collector's own OTLP exporters, in each encoding and compression that they have, with every field that the data model has.
    Guarantee: the backend has each record once, equal in every field to what the exporter itself would have told it."""
    direct, behind = Recorder(), Recorder()
    gateway = Gateway(behind, out, tmp_path)
    try:
        kind = "grpc" if protocol == "grpc" else "http"
        run(*collector, protocol, "none", getattr(direct, kind), cwd=tmp_path)
        run(*collector, protocol, compression, getattr(gateway, kind), cwd=tmp_path)
        wanted = direct.records()
        assert len(wanted) == 60 + 60 + 2 * 6 * 9
        eventually("all records", lambda: len(behind.records()) >= len(wanted))
        assert behind.records() == wanted
    finally:
        assert gateway.stop() == 0
        direct.close()
        behind.close()


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol,out", [("grpc", "grpc"), ("proto", "http"), ("proto", "json"), ("json", "grpc"), ("grpc", "json")])
@pytest.mark.parametrize("sdk", ["javascript", "go", "java"])
def test_what_arrives_is_what_was_sent(sdk, protocol, out, compression, tmp_path, request):
    """Scenario: spans, logs and metrics with everything an SDK can say, by one encoding in and another out. Guarantee: the backend
    has each record once, equal in every field to what the SDK itself would have told it."""
    if protocol == "json" and sdk != "javascript":
        pytest.skip("this SDK does not speak JSON")
    client = request.getfixturevalue(sdk)
    direct, behind = Recorder(), Recorder()
    gateway = Gateway(behind, out, tmp_path)
    try:
        kind = "grpc" if protocol == "grpc" else "http"
        run(*client, protocol, compression, getattr(direct, kind), getattr(gateway, kind), cwd=tmp_path)
        wanted = direct.records()
        assert len(wanted) > 150
        eventually("all records", lambda: len(behind.records()) >= len(wanted))
        assert behind.records() == wanted
    finally:
        assert gateway.stop() == 0
        direct.close()
        behind.close()
