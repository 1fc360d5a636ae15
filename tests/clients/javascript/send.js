// Sends the same spans, logs and metrics to several places: node send.js grpc|proto|json none|gzip HOST:PORT...
'use strict';
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { LoggerProvider, InMemoryLogRecordExporter, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { MeterProvider, MetricReader, AggregationTemporality } = require('@opentelemetry/sdk-metrics');
const { SpanKind, SpanStatusCode, TraceFlags } = require('@opentelemetry/api');

const [protocol, compression, ...places] = process.argv.slice(2);
const kind = { grpc: 'grpc', proto: 'proto', json: 'http' }[protocol];
const exporters = (signal, path) => places.map((place) => {
  const name = { traces: 'OTLPTraceExporter', logs: 'OTLPLogExporter', metrics: 'OTLPMetricExporter' }[signal];
  const Exporter = require(`@opentelemetry/exporter-${signal === 'traces' ? 'trace' : signal}-otlp-${kind}`)[name];
  const url = kind === 'grpc' ? `http://${place}` : `http://${place}/v1/${path}`;
  return new Exporter({ url, compression });
});
const send = (exporter, data) => new Promise((resolve, reject) =>
  exporter.export(data, (result) => (result.code === 0 ? resolve() : reject(result.error || new Error('not exported')))));

const resource = resourceFromAttributes({ 'service.name': 'javascript', 'a.list': ['x', 'y'], 'a.number': 3.5, 'a.flag': true });
// The last one is half of an emoji, as text that is cut by its length ends.
const TEXTS = ['plain', 'déjà vu', '\u{1F600}', '', 'tab\tline\nend', 'cut \u{1F600}'.slice(0, 5)];

function spans() {
  const memory = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(memory)] });
  const tracer = provider.getTracer('app', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' });
  for (let i = 0; i < 60; i += 1) {
    const links = i % 3 ? [] : [{ context: { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), traceFlags: TraceFlags.SAMPLED }, attributes: { i } }];
    const span = tracer.startSpan(`span ${i % 7}`, { kind: i % 5 ? SpanKind.SERVER : SpanKind.CLIENT, links, attributes: { i, text: TEXTS[i % 6], list: [1, 2, i] } });
    span.addEvent('event', { text: TEXTS[i % 6] });
    if (i % 4 === 0) span.setStatus({ code: SpanStatusCode.ERROR, message: 'failed' });
    span.end();
  }
  return memory.getFinishedSpans();
}

function logs() {
  const memory = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter: memory })] });
  const logger = provider.getLogger('app', '1.2.3');
  for (let i = 0; i < 60; i += 1) {
    const body = i % 2 ? TEXTS[i % 6] : { text: TEXTS[i % 6], nested: { list: [1, 'two', null, false], n: i } };
    logger.emit({ severityNumber: 1 + (i % 24), severityText: 'S', body, attributes: { i, text: TEXTS[i % 6] }, eventName: i % 9 ? undefined : 'an.event' });
  }
  return memory.getFinishedLogRecords();
}

async function metrics() {
  class Reader extends MetricReader {
    constructor() { super({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE }); }
    async onForceFlush() {}
    async onShutdown() {}
  }
  const reader = new Reader();
  const provider = new MeterProvider({ resource, readers: [reader] });
  const meter = provider.getMeter('app', '1.2.3');
  const [sum, upDown, histogram, gauge] = [meter.createCounter('same.name', { unit: '1' }), meter.createUpDownCounter('up.down'),
    meter.createHistogram('seconds', { unit: 's' }), meter.createGauge('gauge')];
  for (let i = 0; i < 20; i += 1) {
    sum.add(i, { i }); upDown.add(-i, { i }); histogram.record(i / 3, { i: i % 4 }); gauge.record(i * 1.5, { text: TEXTS[i % 6] });
  }
  return (await reader.collect()).resourceMetrics;
}

(async () => {
  const data = { traces: spans(), logs: logs(), metrics: await metrics() };
  for (const signal of Object.keys(data)) {
    for (const exporter of exporters(signal, signal)) {
      await send(exporter, data[signal]);
      await exporter.shutdown();
    }
  }
})().catch((error) => { console.error(error); process.exit(1); });
