#!/bin/sh
# The OTLP/gRPC exporter of OpenTelemetry's SDK for JavaScript never sends a refused request again: UNAVAILABLE and RESOURCE_EXHAUSTED with
# RetryInfo, which the OTLP specification calls retryable, lose the spans at once. Its OTLP/HTTP exporter retries (503, 429, Retry-After).
#
# What it means for a receiver: no delay that is named helps these senders; only a queue that takes the data does.
# Needs node, npm and the network. Ends with an error if the behaviour is another.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-fund --no-audit @opentelemetry/api@1.9.1 @opentelemetry/sdk-trace-base@2.12.1 \
    @opentelemetry/exporter-trace-otlp-grpc@0.223.1 @opentelemetry/exporter-trace-otlp-http@0.223.1 @grpc/grpc-js@1.14.7
cat >try.js <<'EOF'
const http = require('http');
const grpc = require('@grpc/grpc-js');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const raw = (b) => b;
const method = {
  path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export', requestStream: false, responseStream: false,
  requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw,
};
async function send(Exporter, url) {
  const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new Exporter({ url }))] });
  provider.getTracer('t').startSpan('s').end();
  await provider.forceFlush().catch(() => {});
  await provider.shutdown().catch(() => {});
}
async function overGrpc() {
  let calls = 0;
  const server = new grpc.Server();
  server.addService({ export: method }, {
    export: (call, done) => (++calls === 1 ? done({ code: grpc.status.UNAVAILABLE, details: 'come back' }) : done(null, Buffer.alloc(0))),
  });
  const port = await new Promise((ok, no) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (e, p) => (e ? no(e) : ok(p))));
  await send(require('@opentelemetry/exporter-trace-otlp-grpc').OTLPTraceExporter, `http://127.0.0.1:${port}`);
  server.forceShutdown();
  return calls;
}
async function overHttp() {
  let calls = 0;
  const server = http.createServer((request, answer) => {
    request.resume().on('end', () => { answer.statusCode = ++calls === 1 ? 503 : 200; answer.end(); });
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  await send(require('@opentelemetry/exporter-trace-otlp-http').OTLPTraceExporter, `http://127.0.0.1:${server.address().port}/v1/traces`);
  server.close();
  return calls;
}
(async () => {
  const [byGrpc, byHttp] = [await overGrpc(), await overHttp()];
  console.log(`requests sent when the first is refused: gRPC ${byGrpc} (UNAVAILABLE), HTTP ${byHttp} (503)`);
  process.exit(byGrpc === 1 && byHttp === 2 ? 0 : 1);
})();
EOF
node --version
node try.js 2>/dev/null
