import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.Value;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.data.LogRecordData;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.logs.export.SimpleLogRecordProcessor;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.testing.exporter.InMemoryLogRecordExporter;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Sends the same spans, logs and metrics to several places: Send grpc|proto none|gzip HOST:PORT... */
public final class Send {
    private static final String[] TEXTS = {"plain", "d\u00e9j\u00e0 vu", "\uD83D\uDE00", "", "tab\tline\nend", "last"};
    private static final Resource RESOURCE = Resource.create(Attributes.builder()
            .put("service.name", "java").put("a.number", 3.5).put("a.flag", true).put("a.list", "x", "y").build());

    private static Collection<SpanData> spans() {
        InMemorySpanExporter memory = InMemorySpanExporter.create();
        try (SdkTracerProvider provider = SdkTracerProvider.builder().setResource(RESOURCE)
                .addSpanProcessor(SimpleSpanProcessor.create(memory)).build()) {
            Tracer tracer = provider.tracerBuilder("app").setInstrumentationVersion("1.2.3").build();
            for (int i = 0; i < 60; i++) {
                Span span = tracer.spanBuilder("span " + i % 7).setSpanKind(i % 5 == 0 ? SpanKind.SERVER : SpanKind.CLIENT)
                        .setAttribute("i", i).setAttribute("text", TEXTS[i % 6])
                        .setAttribute(AttributeKey.longArrayKey("list"), List.of(1L, -2L, (long) i)).startSpan();
                span.addEvent("event", Attributes.of(AttributeKey.stringKey("text"), TEXTS[i % 6]));
                if (i % 4 == 0) {
                    span.setStatus(StatusCode.ERROR, "failed");
                }
                span.end();
            }
            return List.copyOf(memory.getFinishedSpanItems());
        }
    }

    private static Collection<LogRecordData> logs() {
        InMemoryLogRecordExporter memory = InMemoryLogRecordExporter.create();
        try (SdkLoggerProvider provider = SdkLoggerProvider.builder().setResource(RESOURCE)
                .addLogRecordProcessor(SimpleLogRecordProcessor.create(memory)).build()) {
            Logger logger = provider.loggerBuilder("app").setInstrumentationVersion("1.2.3").build();
            for (int i = 0; i < 60; i++) {
                Value<?> body = i % 2 == 0 ? Value.of(TEXTS[i % 6])
                        : Value.of(java.util.Map.of("text", Value.of(TEXTS[i % 6]), "list", Value.of(Value.of(1), Value.of(1.5))));
                logger.logRecordBuilder().setTimestamp(Instant.ofEpochSecond(1_700_000_000, i))
                        .setSeverity(Severity.values()[1 + i % 24]).setSeverityText("S").setBody(body)
                        .setAttribute(AttributeKey.longKey("i"), (long) i).setAttribute(AttributeKey.stringKey("text"), TEXTS[i % 6])
                        .emit();
            }
            return List.copyOf(memory.getFinishedLogRecordItems());
        }
    }

    private static Collection<MetricData> metrics() {
        InMemoryMetricReader reader = InMemoryMetricReader.create();
        try (SdkMeterProvider provider = SdkMeterProvider.builder().setResource(RESOURCE).registerMetricReader(reader).build()) {
            Meter meter = provider.meterBuilder("app").setInstrumentationVersion("1.2.3").build();
            var sum = meter.counterBuilder("same.name").setUnit("1").build();
            var upDown = meter.upDownCounterBuilder("up.down").ofDoubles().build();
            var histogram = meter.histogramBuilder("seconds").setUnit("s").build();
            var gauge = meter.gaugeBuilder("gauge").build();
            for (int i = 0; i < 20; i++) {
                Attributes own = Attributes.of(AttributeKey.longKey("i"), (long) i);
                sum.add(i, own);
                upDown.add(-i, own);
                histogram.record(i / 3.0, Attributes.of(AttributeKey.longKey("i"), (long) i % 4));
                gauge.set(i * 1.5, own);
            }
            return List.copyOf(reader.collectAllMetrics());
        }
    }

    private static void done(CompletableResultCode code) {
        code.join(30, TimeUnit.SECONDS);
        if (!code.isSuccess()) {
            throw new IllegalStateException("not exported");
        }
    }

    public static void main(String[] args) {
        var spans = spans();
        var logs = logs();
        var metrics = metrics();
        for (int i = 2; i < args.length; i++) {
            String place = "http://" + args[i];
            SpanExporter toSpans;
            LogRecordExporter toLogs;
            MetricExporter toMetrics;
            if (args[0].equals("grpc")) {
                toSpans = OtlpGrpcSpanExporter.builder().setEndpoint(place).setCompression(args[1]).build();
                toLogs = OtlpGrpcLogRecordExporter.builder().setEndpoint(place).setCompression(args[1]).build();
                toMetrics = OtlpGrpcMetricExporter.builder().setEndpoint(place).setCompression(args[1]).build();
            } else {
                toSpans = OtlpHttpSpanExporter.builder().setEndpoint(place + "/v1/traces").setCompression(args[1]).build();
                toLogs = OtlpHttpLogRecordExporter.builder().setEndpoint(place + "/v1/logs").setCompression(args[1]).build();
                toMetrics = OtlpHttpMetricExporter.builder().setEndpoint(place + "/v1/metrics").setCompression(args[1]).build();
            }
            done(toSpans.export(spans));
            done(toLogs.export(logs));
            done(toMetrics.export(metrics));
            toSpans.close();
            toLogs.close();
            toMetrics.close();
        }
    }
}
