"""A backend that keeps what it is sent, over gRPC and over HTTP, as decoded messages: what an SDK sends here directly is compared
with what arrives of the same data by way of Bywash."""

import base64
import gzip
import http.server
import json
import threading
from concurrent import futures

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

SERVICES = {
    "opentelemetry.proto.collector.logs.v1.LogsService": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
    "opentelemetry.proto.collector.trace.v1.TraceService": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "opentelemetry.proto.collector.metrics.v1.MetricsService": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
}
PATHS = dict(zip(["/v1/logs", "/v1/traces", "/v1/metrics"], SERVICES.values()))


def records(message):
    """Every record of a request with everything that it belongs to, as text: what must be the same, however requests are cut."""
    out = []
    for entry in next(value for _, value in message.ListFields()) if message.ListFields() else []:
        scopes = next(f for f in entry.DESCRIPTOR.fields if f.name.startswith("scope_")).name
        for scope in getattr(entry, scopes):
            for item in _items(scope):
                out.append("\n".join(str(part) for part in (entry.resource, entry.schema_url, scope.scope, scope.schema_url, item)))
    return out


def _items(scope):
    for name in ("spans", "log_records"):
        if name in scope.DESCRIPTOR.fields_by_name:
            yield from getattr(scope, name)
            return
    # A metric may be cut between its points: each of them with the metric's own fields is one.
    for metric in scope.metrics:
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            one = type(metric)()
            one.CopyFrom(metric)
            kept = getattr(one, metric.WhichOneof("data")).data_points
            del kept[:]
            kept.add().CopyFrom(point)
            yield one


class Recorder:
    """Listens on ports of the system's choice until it is closed."""

    def __init__(self):
        self.lock, self.messages = threading.Lock(), []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        for service, (request, response) in SERVICES.items():
            export = grpc.unary_unary_rpc_method_handler(
                self._export(response), request_deserializer=request.FromString, response_serializer=response.SerializeToString
            )
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
        self.grpc = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                recorder._post(self)

            def log_message(self, *_):
                pass

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http = f"127.0.0.1:{self.web.server_port}"
        threading.Thread(target=self.web.serve_forever, daemon=True).start()

    def _keep(self, message):
        with self.lock:
            self.messages.append(message)

    def _export(self, response):
        def export(message, _context):
            self._keep(message)
            return response()

        return export

    def _post(self, handler):
        request, response = PATHS[handler.path]
        if "chunked" in handler.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(handler.rfile.readline().strip(), 16):
                body += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
        else:
            body = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        is_json = handler.headers["content-type"].startswith("application/json")
        self._keep(from_json(body, request()) if is_json else request.FromString(body))
        answer = b"{}" if is_json else response().SerializeToString()
        handler.send_response(200)
        handler.send_header("content-type", handler.headers["content-type"])
        handler.send_header("content-length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def records(self):
        """All records so far, in order of their text."""
        with self.lock:
            return sorted(record for message in self.messages for record in records(message))

    def close(self):
        self.server.stop(None)
        self.web.shutdown()


def from_json(body, message):
    """OTLP's JSON is proto3's but for ids, which are hexadecimal."""

    def ids(value):
        if isinstance(value, str):
            # Half of an emoji is no text: what it becomes is U+FFFD.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, list):
            return [ids(v) for v in value]
        if not isinstance(value, dict):
            return value
        hexadecimal = {"traceId", "spanId", "parentSpanId"}
        return {
            k: base64.b64encode(bytes.fromhex(v)).decode() if k in hexadecimal and isinstance(v, str) else ids(v)
            for k, v in value.items()
        }

    return json_format.ParseDict(ids(json.loads(body)), message, ignore_unknown_fields=True)
