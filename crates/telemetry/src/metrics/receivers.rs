//! What came in, and what was turned away and why. Also the memory limiters, which are a view of the same numbers.

use super::Snapshot;
use crate::exposition::Page;
use std::collections::BTreeMap;
use wire::Signal;

/// `otelcol_receiver_accepted_…`, `…_refused_…`, `…_failed_…`, in this order.
const fn names(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Logs => [
            "otelcol_receiver_accepted_log_records",
            "otelcol_receiver_refused_log_records",
            "otelcol_receiver_failed_log_records",
        ],
        Signal::Traces => {
            ["otelcol_receiver_accepted_spans", "otelcol_receiver_refused_spans", "otelcol_receiver_failed_spans"]
        }
        Signal::Metrics => [
            "otelcol_receiver_accepted_metric_points",
            "otelcol_receiver_refused_metric_points",
            "otelcol_receiver_failed_metric_points",
        ],
    }
}

const fn limiter_names(signal: Signal) -> [&'static str; 2] {
    match signal {
        Signal::Logs => [
            "otelcol_processor_memory_limiter_accepted_log_records",
            "otelcol_processor_memory_limiter_refused_log_records",
        ],
        Signal::Traces => {
            ["otelcol_processor_memory_limiter_accepted_spans", "otelcol_processor_memory_limiter_refused_spans"]
        }
        Signal::Metrics => [
            "otelcol_processor_memory_limiter_accepted_metric_points",
            "otelcol_processor_memory_limiter_refused_metric_points",
        ],
    }
}

pub(super) fn render(page: &mut Page, snapshot: &Snapshot) {
    // The collector counts requests without regard to the signal.
    let mut requests: BTreeMap<(&str, &str), [u64; 3]> = BTreeMap::new();
    for r in &snapshot.receivers {
        let labels = [("receiver", r.receiver.as_str()), ("transport", r.transport)];
        let [accepted, refused, failed] = names(r.signal);
        let stats = &r.stats;
        page.counter(accepted, "Records taken into the pipelines.").add(&labels, stats.accepted.get());
        page.counter(refused, "Records that were not taken: refused with their request, or shed from it.")
            .add(&labels, stats.refused.total() + stats.shed.total());
        page.counter(failed, "Records whose sender waited and was told that they were rejected for good.")
            .add(&labels, stats.failed.get());
        let sums = requests.entry((&r.receiver, r.transport)).or_default();
        for (sum, n) in sums.iter_mut().zip([&stats.requests_accepted, &stats.requests_refused, &stats.requests_failed])
        {
            *sum += n.get();
        }
    }
    let family = page.counter("otelcol_receiver_requests", "Requests received, by what became of them.");
    for ((receiver, transport), sums) in requests {
        for (outcome, sum) in ["success", "refused", "failure"].into_iter().zip(sums) {
            family.add(&[("receiver", receiver), ("transport", transport), ("outcome", outcome)], sum);
        }
    }
    reasons(page, snapshot);
    connections(page, snapshot);
    for l in &snapshot.limiters {
        let labels = [("processor", l.processor.as_str())];
        let [accepted, refused] = limiter_names(l.signal);
        page.counter(accepted, "Records let through.").add(&labels, l.accepted);
        page.counter(refused, "Records turned away for want of memory.").add(&labels, l.refused);
    }
}

fn reasons(page: &mut Page, snapshot: &Snapshot) {
    for r in &snapshot.receivers {
        if r.stats.not_understood.get() > 0 {
            let labels =
                [("receiver", r.receiver.as_str()), ("transport", r.transport), ("data_type", r.signal.as_str())];
            page.counter(
                "bywash_receiver_not_understood_requests",
                "JSON requests without records in which a field was unknown; their senders were warned.",
            )
            .add(&labels, r.stats.not_understood.get());
        }
        let families = [
            (
                "bywash_receiver_shed_records",
                "Records shed from requests whose other records were taken, by reason.",
                &r.stats.shed,
            ),
            ("bywash_receiver_refused_records", "Records refused with their request, by reason.", &r.stats.refused),
            (
                "bywash_receiver_refused_requests",
                "Requests refused whole, before or after they were read, by reason.",
                &r.stats.refused_requests,
            ),
        ];
        for (name, help, by_reason) in families {
            for (kind, n) in by_reason.iter() {
                let labels = [
                    ("receiver", r.receiver.as_str()),
                    ("transport", r.transport),
                    ("data_type", r.signal.as_str()),
                    ("reason", kind.as_str()),
                ];
                page.counter(name, help).add(&labels, n);
            }
        }
    }
}

fn connections(page: &mut Page, snapshot: &Snapshot) {
    for l in &snapshot.listeners {
        let labels = [("receiver", l.receiver.as_str()), ("transport", l.transport)];
        page.gauge("bywash_receiver_connections", "Connections open.").add(&labels, l.stats.open.get());
        page.counter("bywash_receiver_connections_accepted", "Connections taken.").add(&labels, l.stats.accepted.get());
        page.counter("bywash_receiver_connections_refused", "Connections refused because too many were open.")
            .add(&labels, l.stats.refused.get());
        let family =
            page.counter("bywash_receiver_connections_closed", "Connections closed for want of memory, by reason.");
        let closed =
            [("no_room", &l.stats.no_room), ("half_open", &l.stats.closed_half_open), ("idle", &l.stats.closed_idle)];
        for (reason, count) in closed {
            family.add(&[labels[0], labels[1], ("reason", reason)], count.get());
        }
        page.counter("bywash_receiver_handshakes_failed", "Connections whose TLS handshake failed or took too long.")
            .add(&labels, l.stats.handshake_failed.get());
    }
}
