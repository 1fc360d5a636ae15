"""The OpenTelemetry SDK for Python sends logs, traces and metrics through Bywash, by its two exporters, compressed or not."""

import logging
import threading
import time

import grpc
import pytest
from conftest import Bywash, eventually
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

RESOURCE = Resource.create({"service.name": "python"})
ID = "bywash.id"


class Exporters:
    """The three exporters of one protocol."""

    def __init__(self, bywash, protocol, gzip=False, timeout=20):
        if protocol == "grpc":
            compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
            options = dict(endpoint=f"http://{bywash.grpc}", insecure=True, compression=compression, timeout=timeout)
            self.logs, self.spans, self.metrics = (kind(**options) for kind in (GrpcLogs, GrpcSpans, GrpcMetrics))
        else:
            compression = Compression.Gzip if gzip else Compression.NoCompression
            at = lambda signal: dict(endpoint=f"http://{bywash.http}/v1/{signal}", compression=compression, timeout=timeout)
            self.logs, self.spans, self.metrics = HttpLogs(**at("logs")), HttpSpans(**at("traces")), HttpMetrics(**at("metrics"))


def send_logs(exporter, count, first):
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("app")
    for i in range(first, first + count):
        severity = SeverityNumber.ERROR if i % 10 == 0 else SeverityNumber.INFO
        logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=severity, body=f"order {i}", attributes={ID: i}))
    provider.force_flush()
    provider.shutdown()


def send_spans(exporter, count, first):
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    for i in range(first, first + count):
        with tracer.start_as_current_span(f"order {i % 7}", attributes={ID: i}) as span:
            span.add_event("paid", {"amount": 3.5, "items": ["a", "b"]})
    provider.force_flush()
    provider.shutdown()


def send_metrics(exporter, count, first):
    """A data point per id: half of a counter, half of a histogram."""
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider(metric_readers=[reader], resource=RESOURCE)
    meter = provider.get_meter("app")
    orders, seconds = meter.create_counter("orders"), meter.create_histogram("seconds", unit="s")
    for i in range(first, first + count):
        if i % 2:
            orders.add(1, {ID: i})
        else:
            seconds.record(i / 100, {ID: i})
    provider.shutdown()


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_record_arrives_once(sink, bywash, protocol, gzip):
    """Scenario: every signal by one exporter. Guarantee: each record arrives once, with its attributes, and is counted."""
    exporters = Exporters(bywash, protocol, gzip)
    send_logs(exporters.logs, 1500, 1)
    send_spans(exporters.spans, 1000, 10_001)
    send_metrics(exporters.metrics, 500, 20_001)
    stats = sink.until("records", 3000)
    assert (stats["logs"], stats["traces"], stats["metrics"]) == (1500, 1000, 500)
    assert (stats["distinct"], stats["duplicates"], stats["anonymous"]) == (3000, 0, 0)
    transport = f'transport="{protocol}"'
    for noun, count in [("log_records", 1500), ("spans", 1000), ("metric_points", 500)]:
        assert bywash.metric(f"otelcol_receiver_accepted_{noun}", transport) == count
        eventually(noun, lambda: bywash.metric(f"otelcol_exporter_sent_{noun}") == count)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_throttled_sdk_comes_back_when_it_was_told_to(sink, sync_bywash, protocol, caplog):
    """Scenario: the backend throttles for 2 s, then takes. Guarantee: the SDK waits those 2 s, sends again, and all arrives once."""
    sink.behave("mode=throttle&throttle=2s")
    caplog.set_level(logging.WARNING)
    exporter = Exporters(sync_bywash, protocol).spans
    sender = threading.Thread(target=send_spans, args=(exporter, 100, 1))
    sender.start()
    waits = lambda: [message for message in caplog.messages if "retrying in" in message]
    eventually("the SDK to be told to wait", waits)
    sink.behave("mode=ok")
    sender.join()
    stats = sink.stats()
    assert (stats["records"], stats["distinct"], stats["duplicates"]) == (100, 100, 0), caplog.messages
    assert all("retrying in 2.00s" in message for message in waits()), caplog.messages


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_refusal_for_good_is_not_repeated(sink, sync_bywash, protocol):
    """Scenario: the backend rejects every record. Guarantee: the SDK is told by a partial success, and does not send again."""
    sink.behave("mode=fail&failure=reject")
    send_spans(Exporters(sync_bywash, protocol).spans, 100, 1)
    stats = sink.stats()
    assert (stats["requests"], stats["records"], stats["rejected"]) == (1, 0, 100)


NO_QUEUE = ", sending_queue: {enabled: false}, retry_on_failure: {enabled: false}"
FULL_QUEUE = ", sending_queue: {queue_size: 1, num_consumers: 1}, retry_on_failure: {initial_interval: 1s, max_interval: 1s}"


@pytest.mark.parametrize("keys", [NO_QUEUE, FULL_QUEUE], ids=["without a queue", "with a full queue"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_outage_of_four_seconds_loses_nothing(sink, tmp_path, protocol, keys):
    """Scenario: the backend is down for 4 s while an SDK with its default time-out of 10 s sends every second; Bywash has no queue, or a full one.
    Guarantee: the SDK is asked back soon enough: every record arrives."""
    bywash = Bywash(sink, tmp_path, keys=keys)
    sink.behave("mode=fail")
    senders = []
    for second in range(6):
        senders.append(threading.Thread(target=send_spans, args=(exporter_of(bywash, protocol), 20, 1 + 20 * second)))
        senders[-1].start()
        time.sleep(1)
        if second == 3:
            sink.behave("mode=ok")
    for sender in senders:
        sender.join()
    eventually("every record", lambda: sink.stats()["distinct"] == 120)
    assert bywash.stop() == 0


def exporter_of(bywash, protocol):
    return Exporters(bywash, protocol, timeout=10).spans
