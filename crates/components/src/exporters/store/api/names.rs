//! What there is: names of attributes and their values, and services with how they fare.

use super::{Parameters, Until, Wrong};
use ::store::{Engine, Query, Service, ServiceQuery, Value as Counted};
use serde_json::{Value, json};

/// Names or values that are offered.
const MOST_VALUES: usize = 1000;
/// Services that are told of: those with the most spans and log records.
const MOST_SERVICES: usize = 1000;

pub(super) fn fields(
    engine: &dyn Engine,
    query: &Query,
    mut asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    let field = asked.take("field");
    asked.end()?;
    let shown = |values: Vec<Counted>| -> Vec<Value> {
        let shown = |value: Counted| json!({"text": value.text, "records": value.records});
        values.into_iter().take(MOST_VALUES).map(shown).collect()
    };
    let (name, found) = match field {
        Some(field) => ("values", engine.values(query, &field, query.limit, until)),
        None => ("fields", engine.fields(query, until)),
    };
    Ok(json!({name: shown(found.values), "complete": found.is_complete}))
}

pub(super) fn services(
    engine: &dyn Engine,
    tenant: &str,
    mut asked: Parameters,
    until: Until<'_>,
) -> Result<Value, Wrong> {
    let (start, end) = (asked.number("start", 0)?, asked.number("end", u64::MAX)?);
    asked.end()?;
    let query = ServiceQuery { tenant: tenant.to_owned(), start, end };
    let found = engine.services(&query, until);
    // Without an end there is no time over which a rate could be told.
    let seconds = (end != u64::MAX).then(|| end.saturating_sub(start) as f64 / 1e9).filter(|seconds| *seconds > 0.0);
    let mut services: Vec<_> = found.services.iter().collect();
    services.sort_by_key(|(_, its)| std::cmp::Reverse(its.spans + its.logs));
    let shown = |(name, its): (&String, &Service)| {
        let quantile = |share| its.durations.quantile(share);
        json!({
            "name": name, "spans": its.spans, "errors": its.errors,
            "rate": seconds.map_or(0.0, |seconds| its.spans as f64 / seconds),
            "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99),
            "logs": its.logs, "log_errors": its.log_errors,
        })
    };
    let is_complete = found.is_complete && services.len() <= MOST_SERVICES;
    services.truncate(MOST_SERVICES);
    Ok(json!({"services": services.into_iter().map(shown).collect::<Vec<_>>(), "complete": is_complete}))
}
