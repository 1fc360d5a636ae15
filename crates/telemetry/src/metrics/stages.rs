//! Processors that run Loki's stages: what became of the records, and the metrics that their stages make of lines.
//!
//! The latter have the names that their users chose and the peer's (`loki_process_…`); each series says by two labels of ours which
//! processor and pipeline made it, so that no two are the same. A label of that name that the line brought along is called
//! `exported_…`, as Prometheus does. A metric whose name is one of the program's own, or is of another kind elsewhere, is left out and
//! counted.

use crate::exposition::{Page, Type};
use stages::{MetricKind, Sample};
use std::collections::BTreeSet;
use wire::Signal;

/// Where the names of the program's own metrics begin.
const OWN_PREFIXES: [&str; 3] = ["otelcol_", "bywash_", "target_"];

/// One processor in one pipeline.
#[derive(Clone, Debug)]
pub struct StagesState {
    /// Its id.
    pub processor: String,
    /// The pipeline's id.
    pub pipeline: String,
    /// What that carries.
    pub signal: Signal,
    /// Records that came in.
    pub incoming: u64,
    /// Records that went out.
    pub outgoing: u64,
    /// Records dropped, by the place of the stage and the reason.
    pub dropped: Vec<((String, String), u64)>,
    /// Records held back now.
    pub held: u64,
    /// Records that became part of another.
    pub joined: u64,
    /// Records that came about beside the one they were taken from.
    pub split: u64,
    /// Records that a stage failed on and left as they were.
    pub failures: u64,
    /// Observations that would have made too many series.
    pub refused_series: u64,
    /// The series of its stages.
    pub samples: Vec<Sample>,
}

impl Default for StagesState {
    fn default() -> Self {
        let (processor, pipeline, dropped, samples) = Default::default();
        let [incoming, outgoing, held, joined, split, failures, refused_series] = [0; 7];
        let signal = Signal::Logs;
        StagesState {
            processor,
            pipeline,
            signal,
            incoming,
            outgoing,
            dropped,
            held,
            joined,
            split,
            failures,
            refused_series,
            samples,
        }
    }
}

pub(super) fn render(page: &mut Page, all: &[StagesState]) {
    for state in all {
        own(page, state);
    }
    for state in all {
        let left_out = chosen(page, state);
        let labels = [("processor", state.processor.as_str()), ("pipeline", state.pipeline.as_str())];
        page.gauge("bywash_processor_conflicting_metrics", "Metrics left out because their name means another one.")
            .add(&labels, left_out as u64);
    }
}

fn own(page: &mut Page, state: &StagesState) {
    let labels = [("processor", state.processor.as_str()), ("pipeline", state.pipeline.as_str())];
    let with_signal = [labels[0], labels[1], ("otel_signal", state.signal.as_str())];
    page.counter("otelcol_processor_incoming_items", "Records that came in.").add(&with_signal, state.incoming);
    page.counter("otelcol_processor_outgoing_items", "Records that went out.").add(&with_signal, state.outgoing);
    for ((stage, reason), n) in &state.dropped {
        page.counter("bywash_processor_dropped_records", "Records that a stage dropped, by reason.")
            .add(&[labels[0], labels[1], ("stage", stage), ("reason", reason)], *n);
    }
    page.gauge("bywash_processor_held_records", "Records held back now.").add(&labels, state.held);
    page.counter("bywash_processor_joined_records", "Records that became part of another.").add(&labels, state.joined);
    page.counter("bywash_processor_split_records", "Records that came about beside the one they were taken from.")
        .add(&labels, state.split);
    page.counter("bywash_processor_stage_failures", "Records that a stage failed on and left as they were.")
        .add(&labels, state.failures);
    page.counter(
        "bywash_processor_refused_observations",
        "Observations left out because their metric has too many series.",
    )
    .add(&labels, state.refused_series);
}

/// Writes the series of stages; how many metrics are left out.
fn chosen(page: &mut Page, state: &StagesState) -> usize {
    let mut left_out = BTreeSet::new();
    for sample in &state.samples {
        let (kind, name, suffix) = match sample.kind {
            MetricKind::Counter => (Type::Counter, sample.name.as_str(), ""),
            MetricKind::Gauge => (Type::Gauge, sample.name.as_str(), ""),
            MetricKind::Histogram => {
                let at = sample.name.rfind('_').unwrap_or(sample.name.len());
                (Type::Histogram, &sample.name[..at], &sample.name[at..])
            }
        };
        let is_own = OWN_PREFIXES.iter().any(|own| name.starts_with(own));
        let family = if is_own { None } else { page.chosen(name, kind, &sample.help) };
        let Some(family) = family else {
            left_out.insert(name);
            continue;
        };
        let mut labels: Vec<(String, &str)> =
            vec![("processor".to_owned(), &state.processor), ("pipeline".to_owned(), &state.pipeline)];
        for (name, value) in &sample.labels {
            let mut name = name.clone();
            while labels.iter().any(|(known, _)| *known == name) {
                name.insert_str(0, "exported_");
            }
            labels.push((name, value));
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        family.add_part(suffix, &labels, sample.value);
    }
    left_out.len()
}
