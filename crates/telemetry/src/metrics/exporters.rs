//! What went out, what waits, and what was given up and why; and the lanes.

use super::program::{TASK_PANICS, TASK_PANICS_HELP};
use super::{ExporterState, MAX_LANES, Reasons, Snapshot};
use crate::exposition::{Page, Type};
use flow::Scope;
use flow::lane::LaneView;
use std::time::Instant;
use wire::Signal;

/// The states of a lane, as [`LaneView`] names them.
const STATES: [&str; 4] = ["passing", "halted", "probing", "closing"];

/// Characters of a target's name that are shown.
const MAX_TARGET: usize = 200;

/// `otelcol_exporter_sent_…`, `…_send_failed_…`, `…_enqueue_failed_…`, in this order.
const fn names(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Logs => [
            "otelcol_exporter_sent_log_records",
            "otelcol_exporter_send_failed_log_records",
            "otelcol_exporter_enqueue_failed_log_records",
        ],
        Signal::Traces => [
            "otelcol_exporter_sent_spans",
            "otelcol_exporter_send_failed_spans",
            "otelcol_exporter_enqueue_failed_spans",
        ],
        Signal::Metrics => [
            "otelcol_exporter_sent_metric_points",
            "otelcol_exporter_send_failed_metric_points",
            "otelcol_exporter_enqueue_failed_metric_points",
        ],
    }
}

pub(super) fn render(page: &mut Page, snapshot: &Snapshot) {
    for e in &snapshot.exporters {
        let labels = [("exporter", e.exporter.as_str())];
        let [sent, failed, enqueue] = names(e.signal);
        page.counter(sent, "Records that the destination took.").add(&labels, e.totals.sent);
        page.counter(failed, "Records given up, or refused by the destination.").add(&labels, e.totals.failed.total());
        page.counter(enqueue, "Records that found no room in the queue.").add(&labels, e.totals.enqueue_failed.total());
        numbers(page, e);
        reasons(page, e);
        lanes(page, e, snapshot.now);
    }
}

fn numbers(page: &mut Page, e: &ExporterState) {
    let labels = [("exporter", e.exporter.as_str()), ("data_type", e.signal.as_str())];
    use Type::{Counter, Gauge};
    let families = [
        (Gauge, "otelcol_exporter_queue_size", "What the queue holds, in units of its sizer.", e.queue_size),
        (Gauge, "otelcol_exporter_queue_capacity", "What the queue may hold, in units of its sizer.", e.queue_capacity),
        (Gauge, "otelcol_exporter_in_flight_requests", "Requests that have no answer yet.", e.totals.in_flight),
        (Gauge, "bywash_exporter_queue_bytes", "Bytes held, in flight or not.", e.bytes),
        (Gauge, "bywash_exporter_waiting_requests", "Requests that wait for their next try.", e.totals.waiting),
        (Counter, "bywash_exporter_sent_requests", "Requests that the destination took.", e.totals.requests),
        (Counter, "bywash_exporter_sent_bytes", "Bytes of those, before compression.", e.totals.request_bytes),
        (
            Counter,
            "bywash_exporter_partial_records",
            "Records refused within requests that were taken.",
            e.totals.partial,
        ),
        (Counter, "bywash_exporter_divided_requests", "Rejected requests tried again in parts.", e.totals.divided),
    ];
    for (task, panics) in [("lane", e.totals.lane_panics), ("send", e.totals.send_panics)] {
        if panics > 0 {
            let labels = [labels[0], labels[1], ("task", task)];
            page.counter(TASK_PANICS, TASK_PANICS_HELP).add(&labels, panics);
        }
    }
    for (kind, name, help, value) in families {
        let family = if kind == Gauge { page.gauge(name, help) } else { page.counter(name, help) };
        family.add(&labels, value);
    }
}

fn reasons(page: &mut Page, e: &ExporterState) {
    let families: [(_, _, &Reasons); 3] = [
        (
            "bywash_exporter_failed_records",
            "Records given up, or refused by the destination, by reason.",
            &e.totals.failed,
        ),
        ("bywash_exporter_enqueue_failed_records", "Records that found no room, by reason.", &e.totals.enqueue_failed),
        (
            "bywash_exporter_retried_records",
            "Records in requests that failed and were tried again, once per try, by reason.",
            &e.totals.retried,
        ),
    ];
    for (name, help, by_reason) in families {
        for (kind, n) in by_reason.iter() {
            let labels =
                [("exporter", e.exporter.as_str()), ("data_type", e.signal.as_str()), ("reason", kind.as_str())];
            page.counter(name, help).add(&labels, n);
        }
    }
}

fn age(lane: &LaneView, now: Instant) -> f64 {
    lane.oldest.map_or(0.0, |oldest| now.saturating_duration_since(oldest).as_secs_f64())
}

fn lanes(page: &mut Page, e: &ExporterState, now: Instant) {
    let (exporter, data_type) = (("exporter", e.exporter.as_str()), ("data_type", e.signal.as_str()));
    for state in STATES {
        let n = e.lanes.iter().filter(|lane| lane.state == state).count() as u64;
        page.gauge("bywash_exporter_lanes", "Lanes by state.").add(&[exporter, data_type, ("state", state)], n);
    }
    for (scope, n) in Scope::SHARED.into_iter().zip(e.halted_scopes) {
        let help = "What several lanes share and that does not pass now.";
        page.gauge("bywash_exporter_halted_scopes", help).add(&[exporter, data_type, ("scope", scope)], n);
    }
    let oldest = e.lanes.iter().map(|lane| age(lane, now)).fold(0.0, f64::max);
    page.gauge("bywash_exporter_oldest_record_age_seconds", "Age of the oldest record that is not delivered yet.")
        .add(&[exporter, data_type], oldest);
    let mut worst: Vec<&LaneView> = e.lanes.iter().collect();
    worst.sort_by(|a, b| age(b, now).total_cmp(&age(a, now)).then_with(|| a.target.cmp(&b.target)));
    worst.truncate(MAX_LANES);
    for lane in worst {
        let name: String = lane.target.to_string().chars().take(MAX_TARGET).collect();
        let target = ("target", name.as_str());
        page.gauge("bywash_lane_state", "The state each lane is in, of those with the oldest records.")
            .add(&[exporter, data_type, target, ("state", lane.state)], 1);
        page.gauge("bywash_lane_bytes", "Bytes that a lane holds.").add(&[exporter, data_type, target], lane.bytes);
        page.gauge("bywash_lane_oldest_record_age_seconds", "Age of the oldest record of a lane.")
            .add(&[exporter, data_type, target], age(lane, now));
        page.gauge("bywash_lane_waiting_requests", "Requests of a lane that wait for their next try.")
            .add(&[exporter, data_type, target], lane.waiting as u64);
    }
}
