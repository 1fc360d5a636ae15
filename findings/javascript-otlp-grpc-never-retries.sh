#!/usr/bin/env bash
# The JavaScript SDK's OTLP/gRPC exporter never retries: one UNAVAILABLE loses the batch. Its OTLP/HTTP exporter does retry.
#
# By the OTLP specification UNAVAILABLE, and RESOURCE_EXHAUSTED with a RetryInfo, are to be sent again. The exporter over gRPC is
# wrapped in the same retrying transport as the one over HTTP, but calls every failed call final, so that nothing is ever repeated,
# whatever delay the server names. The exporter over HTTP repeats 503 and obeys Retry-After.
#
# For Bywash: a refusal costs such a sender its batch. Where senders use this SDK let them speak HTTP, or give them room.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @grpc/grpc-js@1.14.7 @opentelemetry/api@1.9.0 @opentelemetry/sdk-trace-base@2.12.1 \
    @opentelemetry/exporter-trace-otlp-grpc@0.223.1 @opentelemetry/exporter-trace-otlp-proto@0.223.1
cat > ask.js <<'JS'
const grpc = require('@grpc/grpc-js');
const http = require('http');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { OTLPTraceExporter: OverGrpc } = require('@opentelemetry/exporter-trace-otlp-grpc');
const { OTLPTraceExporter: OverHttp } = require('@opentelemetry/exporter-trace-otlp-proto');

const memory = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(memory)] });
provider.getTracer('t').startSpan('one').end();

const calls = { grpc: 0, http: 0 };
const raw = (bytes) => bytes;
const service = {
  export: {
    path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    requestStream: false, responseStream: false,
    requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw,
  },
};
const done = (exporter, spans) => new Promise((resolve) => exporter.export(spans, (r) => resolve(r.code === 0 ? 'success' : 'failure')));

(async () => {
  await provider.forceFlush();
  const spans = memory.getFinishedSpans();
  const server = new grpc.Server();
  server.addService(service, {
    export: (call, answer) => {
      calls.grpc += 1;
      if (calls.grpc === 1) answer({ code: grpc.status.UNAVAILABLE, details: 'in a moment' });
      else answer(null, Buffer.alloc(0));
    },
  });
  const port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p))));
  const web = http.createServer((request, response) => {
    request.resume().on('end', () => {
      calls.http += 1;
      response.writeHead(calls.http === 1 ? 503 : 200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  const overGrpc = await done(new OverGrpc({ url: `http://127.0.0.1:${port}` }), spans);
  const overHttp = await done(new OverHttp({ url: `http://127.0.0.1:${web.address().port}/v1/traces` }), spans);
  console.log(`gRPC, UNAVAILABLE once: ${calls.grpc} call, ${overGrpc}`);
  console.log(`HTTP, 503 once: ${calls.http} calls, ${overHttp}`);
  process.exit(calls.grpc === 1 && overGrpc === 'failure' && calls.http === 2 && overHttp === 'success' ? 0 : 1);
})();
JS
echo "@opentelemetry/exporter-trace-otlp-grpc 0.223.1 on node $(node --version)"
node ask.js
