// Sends the same spans, logs and metrics to several places with the collector's own exporters: send grpc|proto|json none|gzip|zstd|snappy HOST:PORT...
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

var texts = []string{"plain", "déjà vu", "\U0001F600", "", "tab\tline\nend", "last"}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func at(i int) pcommon.Timestamp { return pcommon.Timestamp(1_700_000_000_123_456_789 + uint64(i)) }

// about fills in attributes of every kind of value.
func about(attributes pcommon.Map, i int) {
	attributes.PutStr("text", texts[i%len(texts)])
	attributes.PutInt("i", int64(i)-3)
	attributes.PutInt("largest", math.MaxInt64)
	attributes.PutDouble("number", float64(i)/3)
	attributes.PutBool("flag", i%2 == 0)
	attributes.PutEmpty("nothing")
	attributes.PutEmptyBytes("bytes").FromRaw([]byte{0, 255, byte(i)})
	list := attributes.PutEmptySlice("list")
	list.AppendEmpty().SetStr("x")
	list.AppendEmpty().SetEmptyMap().PutInt("deep", int64(i))
	attributes.PutEmptyMap("map").PutEmptySlice("empty")
}

func scope(scope pcommon.InstrumentationScope, i int) {
	scope.SetName(fmt.Sprintf("scope %d", i%2))
	scope.SetVersion("1.2.3")
	scope.SetDroppedAttributesCount(uint32(i))
	about(scope.Attributes(), i)
}

func traceID(i int) pcommon.TraceID { return pcommon.TraceID{1, 2, byte(i)} }
func spanID(i int) pcommon.SpanID   { return pcommon.SpanID{3, byte(i)} }

func spans() ptrace.Traces {
	all := ptrace.NewTraces()
	for r := range 3 {
		resource := all.ResourceSpans().AppendEmpty()
		resource.SetSchemaUrl("https://opentelemetry.io/schemas/1.30.0")
		about(resource.Resource().Attributes(), r)
		resource.Resource().SetDroppedAttributesCount(uint32(r))
		group := resource.ScopeSpans().AppendEmpty()
		scope(group.Scope(), r)
		group.SetSchemaUrl("https://opentelemetry.io/schemas/1.29.0")
		for n := range 20 {
			i := r*20 + n
			span := group.Spans().AppendEmpty()
			span.SetName(fmt.Sprintf("span %d", i%7))
			span.SetTraceID(traceID(i))
			span.SetSpanID(spanID(i))
			span.SetParentSpanID(spanID(i + 1))
			span.TraceState().FromRaw("vendor=a,other=b")
			span.SetFlags(uint32(0x101 + i%2*0x200))
			span.SetKind(ptrace.SpanKind(i % 6))
			span.SetStartTimestamp(at(i))
			span.SetEndTimestamp(at(i * 1_000_000))
			about(span.Attributes(), i)
			span.SetDroppedAttributesCount(uint32(i % 3))
			span.SetDroppedEventsCount(uint32(i % 2))
			span.SetDroppedLinksCount(uint32(i % 5))
			event := span.Events().AppendEmpty()
			event.SetName("event")
			event.SetTimestamp(at(i))
			event.SetDroppedAttributesCount(7)
			about(event.Attributes(), i)
			link := span.Links().AppendEmpty()
			link.SetTraceID(traceID(i + 9))
			link.SetSpanID(spanID(i + 9))
			link.SetFlags(0x301)
			link.TraceState().FromRaw("vendor=c")
			link.SetDroppedAttributesCount(8)
			about(link.Attributes(), i)
			span.Status().SetCode(ptrace.StatusCode(i % 3))
			span.Status().SetMessage(texts[i%len(texts)])
		}
	}
	return all
}

func logs() plog.Logs {
	all := plog.NewLogs()
	for r := range 3 {
		resource := all.ResourceLogs().AppendEmpty()
		resource.SetSchemaUrl("https://opentelemetry.io/schemas/1.30.0")
		about(resource.Resource().Attributes(), r)
		group := resource.ScopeLogs().AppendEmpty()
		scope(group.Scope(), r)
		for n := range 20 {
			i := r*20 + n
			record := group.LogRecords().AppendEmpty()
			record.SetTimestamp(at(i))
			record.SetObservedTimestamp(at(i + 1))
			record.SetSeverityNumber(plog.SeverityNumber(i % 25))
			record.SetSeverityText(texts[i%len(texts)])
			record.SetEventName("event")
			record.SetTraceID(traceID(i))
			record.SetSpanID(spanID(i))
			record.SetFlags(plog.LogRecordFlags(1))
			record.SetDroppedAttributesCount(uint32(i))
			about(record.Attributes(), i)
			switch i % 4 {
			case 0:
				record.Body().SetStr(texts[i%len(texts)])
			case 1:
				about(record.Body().SetEmptyMap(), i)
			case 2:
				record.Body().SetEmptyBytes().FromRaw([]byte{1, 2, 3})
			}
		}
	}
	return all
}

func exemplar(exemplar pmetric.Exemplar, i int) {
	exemplar.SetTimestamp(at(i))
	exemplar.SetTraceID(traceID(i))
	exemplar.SetSpanID(spanID(i))
	about(exemplar.FilteredAttributes(), i)
	if i%2 == 0 {
		exemplar.SetIntValue(int64(i))
	} else {
		exemplar.SetDoubleValue(float64(i) / 7)
	}
}

func number(point pmetric.NumberDataPoint, i int) {
	about(point.Attributes(), i)
	point.SetStartTimestamp(at(0))
	point.SetTimestamp(at(i))
	exemplar(point.Exemplars().AppendEmpty(), i)
	switch i % 3 {
	case 0:
		point.SetIntValue(-int64(i))
	case 1:
		point.SetDoubleValue(float64(i) / 3)
	default:
		point.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
}

func exponential(point pmetric.ExponentialHistogramDataPoint, i int) {
	about(point.Attributes(), i)
	point.SetTimestamp(at(i))
	point.SetCount(uint64(10 + i))
	point.SetSum(float64(i))
	point.SetMin(-1)
	point.SetMax(99)
	point.SetScale(int32(3 - i))
	point.SetZeroCount(2)
	point.SetZeroThreshold(0.5)
	point.Positive().SetOffset(-2)
	point.Positive().BucketCounts().FromRaw([]uint64{1, 0, uint64(i)})
	point.Negative().SetOffset(4)
	point.Negative().BucketCounts().FromRaw([]uint64{math.MaxUint32})
	exemplar(point.Exemplars().AppendEmpty(), i)
}

func metrics() pmetric.Metrics {
	all := pmetric.NewMetrics()
	for r := range 2 {
		resource := all.ResourceMetrics().AppendEmpty()
		about(resource.Resource().Attributes(), r)
		group := resource.ScopeMetrics().AppendEmpty()
		scope(group.Scope(), r)
		metric := func(name string) pmetric.Metric {
			metric := group.Metrics().AppendEmpty()
			metric.SetName(name)
			metric.SetDescription("what it is")
			metric.SetUnit("By")
			metric.Metadata().PutStr("key", "value")
			return metric
		}
		// One name for data of different kinds: they must not become one.
		gauge := metric("same.name").SetEmptyGauge()
		delta, total := metric("same.name").SetEmptySum(), metric("same.name").SetEmptySum()
		delta.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		total.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		total.SetIsMonotonic(true)
		histogram := metric("histogram").SetEmptyHistogram()
		histogram.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		fine := metric("exponential").SetEmptyExponentialHistogram()
		fine.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		summary := metric("summary").SetEmptySummary()
		for i := range 9 {
			number(gauge.DataPoints().AppendEmpty(), i)
			number(delta.DataPoints().AppendEmpty(), i)
			number(total.DataPoints().AppendEmpty(), i)
			exponential(fine.DataPoints().AppendEmpty(), i)
			point := histogram.DataPoints().AppendEmpty()
			about(point.Attributes(), i)
			point.SetTimestamp(at(i))
			point.SetCount(uint64(3 * i))
			point.SetSum(float64(i))
			point.SetMin(0)
			point.ExplicitBounds().FromRaw([]float64{-1.5, 0, 1e300})
			point.BucketCounts().FromRaw([]uint64{uint64(i), 0, uint64(i), uint64(i)})
			exemplar(point.Exemplars().AppendEmpty(), i)
			quantiles := summary.DataPoints().AppendEmpty()
			about(quantiles.Attributes(), i)
			quantiles.SetTimestamp(at(i))
			quantiles.SetCount(uint64(i))
			quantiles.SetSum(float64(i))
			for _, quantile := range []float64{0, 0.5, 1} {
				value := quantiles.QuantileValues().AppendEmpty()
				value.SetQuantile(quantile)
				value.SetValue(quantile * float64(i))
			}
		}
	}
	return all
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	protocol, compression, places := os.Args[1], configcompression.Type(os.Args[2]), os.Args[3:]
	for _, place := range places {
		factory := otlpexporter.NewFactory()
		if protocol != "grpc" {
			factory = otlphttpexporter.NewFactory()
		}
		config := factory.CreateDefaultConfig()
		switch config := config.(type) {
		case *otlpexporter.Config:
			config.ClientConfig.Endpoint = place
			config.ClientConfig.TLS.Insecure = true
			config.ClientConfig.Compression = compression
		case *otlphttpexporter.Config:
			config.ClientConfig.Endpoint = "http://" + place
			config.ClientConfig.Compression = compression
			config.Encoding = otlphttpexporter.EncodingType(protocol)
		}
		settings := exportertest.NewNopSettings(factory.Type())
		host := componenttest.NewNopHost()
		t, err := factory.CreateTraces(ctx, settings, config)
		must(err)
		l, err := factory.CreateLogs(ctx, settings, config)
		must(err)
		m, err := factory.CreateMetrics(ctx, settings, config)
		must(err)
		must(t.Start(ctx, host))
		must(l.Start(ctx, host))
		must(m.Start(ctx, host))
		must(t.ConsumeTraces(ctx, spans()))
		must(l.ConsumeLogs(ctx, logs()))
		must(m.ConsumeMetrics(ctx, metrics()))
		// What is queued is sent before this returns.
		must(t.Shutdown(ctx))
		must(l.Shutdown(ctx))
		must(m.Shutdown(ctx))
	}
}
