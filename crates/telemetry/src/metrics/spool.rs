//! Queues on disk and dead letters.
//!
//! What they hold in the collector's terms is `otelcol_exporter_queue_size`, as for queues in memory.

use super::Snapshot;
use crate::exposition::{Labels, Page};
use flow::spool::SpoolView;
use flow::spool::view::DeadView;
use flow::stats::HistogramView;

/// What can be wrong with a disk, as [`SpoolView`] names it.
const TROUBLES: [&str; 3] = ["full", "read_only", "other"];

pub(super) fn render(page: &mut Page, snapshot: &Snapshot) {
    for e in &snapshot.exporters {
        let Some(spool) = &e.spool else { continue };
        let labels = [("exporter", e.exporter.as_str()), ("data_type", e.signal.as_str())];
        held(page, &labels, spool);
        written(page, &labels, spool);
        if let Some(dead) = &spool.dead {
            letters(page, &labels, dead);
        }
    }
}

/// The labels with one more.
fn and<'a>(labels: Labels<'a>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([(name, value)]).collect()
}

fn held(page: &mut Page, labels: Labels<'_>, spool: &SpoolView) {
    for (name, help, value) in [
        ("bywash_spool_records", "Records on disk that are not delivered yet.", spool.records),
        ("bywash_spool_pieces", "Pieces that they are in.", spool.pieces),
        ("bywash_spool_bytes", "Payload bytes of those.", spool.bytes),
        ("bywash_spool_limit_bytes", "Payload bytes that may wait on disk; 0 is no limit.", spool.max_bytes),
        ("bywash_spool_disk_bytes", "Bytes of all files of the queue.", spool.disk_bytes),
        ("bywash_spool_segments", "Segment files of the queue.", spool.segments),
    ] {
        page.gauge(name, help).add(labels, value);
    }
    let age = spool.oldest_age.unwrap_or_default().as_secs_f64();
    page.gauge("bywash_spool_oldest_record_age_seconds", "Age of the oldest record on disk.").add(labels, age);
    for trouble in TROUBLES {
        page.gauge("bywash_spool_disk_trouble", "What is wrong with the disk at present, if anything.")
            .add(&and(labels, "kind", trouble), spool.trouble == Some(trouble));
    }
}

fn written(page: &mut Page, labels: Labels<'_>, spool: &SpoolView) {
    let mut histogram = |name, help, h: &HistogramView| {
        page.histogram(name, help).observe(labels, &h.buckets, h.sum, h.count);
    };
    histogram("bywash_spool_sync_seconds", "Time to write and sync a group of requests.", &spool.sync_seconds);
    histogram("bywash_spool_sync_records", "Records that shared one sync.", &spool.sync_records);
    for (name, help, value) in [
        ("bywash_spool_failed_syncs", "Writes and syncs that failed.", spool.failed_syncs),
        ("bywash_spool_recovered_records", "Records found on disk at the start.", spool.recovered_records),
        (
            "bywash_spool_damaged",
            "Places on disk that were damaged, and segments that could not be read.",
            spool.damaged,
        ),
        ("bywash_spool_torn", "Writes that a crash interrupted before they were acknowledged.", spool.torn),
        ("bywash_spool_expired_records", "Records given up because of their age.", spool.expired_records),
        ("bywash_spool_stored_bytes", "Payload bytes that were to be kept.", spool.stored_bytes),
        ("bywash_spool_written_bytes", "Bytes written to disk.", spool.written_bytes),
        ("bywash_spool_copied_bytes", "Bytes copied forward out of nearly empty segments.", spool.copied_bytes),
    ] {
        page.counter(name, help).add(labels, value);
    }
}

fn letters(page: &mut Page, labels: Labels<'_>, dead: &DeadView) {
    for (name, help, value) in [
        ("bywash_dead_letters", "Dead letters that are kept.", dead.letters),
        ("bywash_dead_letter_records", "Records in them.", dead.records),
        ("bywash_dead_letter_bytes", "Payload bytes of those.", dead.bytes),
    ] {
        page.gauge(name, help).add(labels, value);
    }
    for (kind, records) in &dead.buried {
        page.counter("bywash_dead_letter_buried_records", "Records that became dead letters, by reason.")
            .add(&and(labels, "reason", kind.as_str()), *records);
    }
    for (cause, records) in [
        ("full", dead.evicted_records),
        ("age", dead.expired_records),
        ("discarded", dead.discarded_records),
        ("replayed", dead.replayed_records),
    ] {
        page.counter("bywash_dead_letter_removed_records", "Records whose dead letters went, by cause.")
            .add(&and(labels, "cause", cause), records);
    }
    page.counter("bywash_dead_letters_damaged", "Dead letters that were damaged on disk.").add(labels, dead.damaged);
}
