// Sends the same spans, logs and metrics to several places: send grpc|proto none|gzip HOST:PORT...
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var texts = []string{"plain", "déjà vu", "\U0001F600", "", "tab\tline\nend", "last"}

var about = resource.NewWithAttributes("https://opentelemetry.io/schemas/1.30.0",
	attribute.String("service.name", "go"), attribute.StringSlice("a.list", []string{"x", "y"}),
	attribute.Float64("a.number", 3.5), attribute.Bool("a.flag", true))

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func spans() []sdktrace.ReadOnlySpan {
	start := time.Unix(1_700_000_000, 123_456_789)
	var stubs tracetest.SpanStubs
	for i := range 60 {
		context := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1, 2, byte(i)}, SpanID: trace.SpanID{3, byte(i)}, TraceFlags: trace.FlagsSampled,
		})
		status := sdktrace.Status{}
		if i%4 == 0 {
			status = sdktrace.Status{Code: codes.Error, Description: "failed"}
		}
		stubs = append(stubs, tracetest.SpanStub{
			Name: fmt.Sprintf("span %d", i%7), SpanContext: context, Parent: context, SpanKind: trace.SpanKind(1 + i%5),
			StartTime: start, EndTime: start.Add(time.Duration(i) * time.Millisecond),
			Attributes: []attribute.KeyValue{attribute.Int("i", i), attribute.String("text", texts[i%6]), attribute.Int64Slice("list", []int64{1, -2, int64(i)})},
			Events:     []sdktrace.Event{{Name: "event", Time: start, Attributes: []attribute.KeyValue{attribute.String("text", texts[i%6])}}},
			Links:      []sdktrace.Link{{SpanContext: context, Attributes: []attribute.KeyValue{attribute.Int("i", i)}}},
			Status:     status, DroppedAttributes: i % 3, DroppedEvents: i % 2, DroppedLinks: i % 5,
			Resource: about, InstrumentationScope: instrumentation.Scope{Name: "app", Version: "1.2.3", SchemaURL: "https://opentelemetry.io/schemas/1.29.0"},
		})
	}
	return stubs.Snapshots()
}

// keeper is an exporter that keeps records, to be sent to all places.
type keeper struct{ records []sdklog.Record }

func (k *keeper) Export(_ context.Context, records []sdklog.Record) error {
	for _, record := range records {
		k.records = append(k.records, record.Clone())
	}
	return nil
}
func (k *keeper) Shutdown(context.Context) error   { return nil }
func (k *keeper) ForceFlush(context.Context) error { return nil }

func logs(ctx context.Context) []sdklog.Record {
	kept := &keeper{}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewSimpleProcessor(kept)))
	logger := provider.Logger("app", log.WithInstrumentationVersion("1.2.3"))
	for i := range 60 {
		var record log.Record
		record.SetTimestamp(time.Unix(1_700_000_000, int64(i)))
		record.SetObservedTimestamp(time.Unix(1_700_000_001, int64(i)))
		record.SetSeverity(log.Severity(1 + i%24))
		record.SetSeverityText("S")
		if i%2 == 0 {
			record.SetBody(log.StringValue(texts[i%6]))
		} else {
			record.SetBody(log.MapValue(log.String("text", texts[i%6]), log.Slice("list", log.Int64Value(1), log.Float64Value(1.5), log.BytesValue([]byte{0, 255})), log.Bool("flag", true)))
		}
		record.AddAttributes(log.Int("i", i), log.String("text", texts[i%6]))
		logger.Emit(ctx, record)
	}
	return kept.records
}

func metrics(ctx context.Context) *metricdata.ResourceMetrics {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(about), sdkmetric.WithView(
		sdkmetric.NewView(sdkmetric.Instrument{Name: "exponential"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 20, MaxScale: 20}})))
	meter := provider.Meter("app", metric.WithInstrumentationVersion("1.2.3"))
	sum, err := meter.Int64Counter("same.name", metric.WithUnit("1"))
	must(err)
	upDown, err := meter.Float64UpDownCounter("up.down")
	must(err)
	histogram, err := meter.Float64Histogram("seconds", metric.WithUnit("s"))
	must(err)
	exponential, err := meter.Float64Histogram("exponential")
	must(err)
	gauge, err := meter.Float64Gauge("gauge")
	must(err)
	for i := range 20 {
		own := metric.WithAttributes(attribute.Int("i", i))
		sum.Add(ctx, int64(i), own)
		upDown.Add(ctx, -float64(i), own)
		histogram.Record(ctx, float64(i)/3, metric.WithAttributes(attribute.Int("i", i%4)))
		exponential.Record(ctx, float64(i)*7, metric.WithAttributes(attribute.Int("i", i%4)))
		gauge.Record(ctx, float64(i)*1.5, metric.WithAttributes(attribute.String("text", texts[i%6])))
	}
	var all metricdata.ResourceMetrics
	must(reader.Collect(ctx, &all))
	return &all
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	protocol, gzip, places := os.Args[1], os.Args[2] == "gzip", os.Args[3:]
	traceData, logData, metricData := spans(), logs(ctx), metrics(ctx)
	for _, place := range places {
		var tracer *otlptrace.Exporter
		var logger sdklog.Exporter
		var meter sdkmetric.Exporter
		var err error
		if protocol == "grpc" {
			t, l, m := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(place), otlptracegrpc.WithInsecure()},
				[]otlploggrpc.Option{otlploggrpc.WithEndpoint(place), otlploggrpc.WithInsecure()},
				[]otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(place), otlpmetricgrpc.WithInsecure()}
			if gzip {
				t, l, m = append(t, otlptracegrpc.WithCompressor("gzip")), append(l, otlploggrpc.WithCompressor("gzip")), append(m, otlpmetricgrpc.WithCompressor("gzip"))
			}
			tracer, err = otlptracegrpc.New(ctx, t...)
			must(err)
			logger, err = otlploggrpc.New(ctx, l...)
			must(err)
			meter, err = otlpmetricgrpc.New(ctx, m...)
			must(err)
		} else {
			t, l, m := []otlptracehttp.Option{otlptracehttp.WithEndpoint(place), otlptracehttp.WithInsecure()},
				[]otlploghttp.Option{otlploghttp.WithEndpoint(place), otlploghttp.WithInsecure()},
				[]otlpmetrichttp.Option{otlpmetrichttp.WithEndpoint(place), otlpmetrichttp.WithInsecure()}
			if gzip {
				t, l, m = append(t, otlptracehttp.WithCompression(otlptracehttp.GzipCompression)), append(l, otlploghttp.WithCompression(otlploghttp.GzipCompression)), append(m, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
			}
			tracer, err = otlptracehttp.New(ctx, t...)
			must(err)
			logger, err = otlploghttp.New(ctx, l...)
			must(err)
			meter, err = otlpmetrichttp.New(ctx, m...)
			must(err)
		}
		must(tracer.ExportSpans(ctx, traceData))
		must(logger.Export(ctx, logData))
		must(meter.Export(ctx, metricData))
		must(tracer.Shutdown(ctx))
		must(logger.Shutdown(ctx))
		must(meter.Shutdown(ctx))
	}
}
