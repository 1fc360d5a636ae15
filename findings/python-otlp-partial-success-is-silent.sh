#!/usr/bin/env bash
# The Python SDK's OTLP exporters never look at `partial_success`: records that a server refused are lost without a word.
#
# A server may take a request and refuse some of its records; it says how many and why in the answer's `partial_success`, which
# clients are not to repeat. One would guess that the exporter at least logs that (the SDKs for Go and JavaScript do). The Python
# exporters, over gRPC and HTTP alike, report success and log nothing at any level.
#
# For Bywash: records that are shed are reported so; senders with this SDK do not show it. What was shed stands in Bywash's own
# metrics and log.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2 \
    opentelemetry-exporter-otlp-proto-grpc==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 grpcio==1.85.3
cat > "$dir/ask.py" <<'PY'
import http.server, logging, sys, threading
from concurrent import futures
import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

ANSWER = pb.ExportTraceServiceResponse(
    partial_success=pb.ExportTracePartialSuccess(rejected_spans=1, error_message="no room for this one"))
asked = 0


class Grpc(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        global asked
        asked += 1
        return ANSWER


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global asked
        asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        body = ANSWER.SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Words(logging.Handler):
    lines = []

    def emit(self, record):
        if record.name.startswith("opentelemetry"):
            self.lines.append(record.getMessage())


logging.getLogger().addHandler(Words())
logging.getLogger().setLevel(logging.DEBUG)
span = TracerProvider().get_tracer("t").start_span("one")
span.end()

server = grpc.server(futures.ThreadPoolExecutor(1))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Grpc(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
web = http.server.HTTPServer(("127.0.0.1", 0), Http)
threading.Thread(target=web.serve_forever, daemon=True).start()

silent = True
for name, exporter in [
    ("gRPC", OverGrpc(endpoint=f"127.0.0.1:{port}", insecure=True)),
    ("HTTP", OverHttp(endpoint=f"http://127.0.0.1:{web.server_port}/v1/traces")),
]:
    Words.lines.clear()
    result = exporter.export([span])
    print(f"{name}: the only span was refused; the exporter says {result.name}, and logs {[l for l in Words.lines]}")
    silent &= result is SpanExportResult.SUCCESS and not any("no room" in l or "partial" in l.lower() for l in Words.lines)
sys.exit(0 if silent and asked == 2 else 1)
PY
echo "opentelemetry-exporter-otlp-proto-{grpc,http} 1.45.2 on $("$dir/venv/bin/python" --version)"
"$dir/venv/bin/python" "$dir/ask.py"
