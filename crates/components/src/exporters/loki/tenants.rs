//! Which tenant a record belongs to: each tenant is a target with a lane of its own.
//!
//! In this order: what the record itself says (the label `__tenant_id__` that the stage `tenant` sets, else the attribute that the hint
//! `loki.tenant` names, of the resource before the record); the `X-Scope-OrgID` of the exporter's `headers`; what the sender said; `tenant_id`.
//!
//! Invariant: a name that Loki would refuse never becomes a header: such records go to a target that takes nothing.

use flow::router::{Router, Routes};
use flow::{Payload, Target};
use std::collections::HashMap;
use wire::key::{AnyValue, record_attributes, resource_attributes};
use wire::loki::send::contains;
use wire::loki::{TENANT_HINT, TENANT_LABEL, check_tenant, text};
use wire::{Index, Record, Signal, SplitScratch};

/// The target of records without a tenant. No tenant can be called so.
pub(super) const NO_TENANT: &str = "(no tenant)";
/// The target of records whose tenant has no legal name.
pub(super) const BAD_TENANT: &str = "(illegal tenant)";

/// See the module.
pub(super) struct TenantRouter {
    /// The `X-Scope-OrgID` of the headers.
    pub fixed: Option<String>,
    /// The `tenant_id`.
    pub default: String,
}

impl TenantRouter {
    /// The target of records that name no tenant themselves.
    fn otherwise(&self, payload: &Payload) -> Target {
        let name = self.fixed.as_deref().or(payload.meta.tenant.as_deref()).unwrap_or(&self.default);
        target(name)
    }

    /// The targets of a request, and which of them each record goes to. `None` if it cannot be read.
    fn assign(&self, body: &[u8], otherwise: Target) -> Option<(Vec<Target>, Vec<usize>)> {
        let mut index = Index::new();
        index.build(Signal::Logs, body).ok()?;
        let mut targets = vec![otherwise];
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut assigned = Vec::new();
        let mut name = Vec::new();
        for record in index.records(body) {
            name.clear();
            own(&record, &mut name);
            assigned.push(match known.get(&name) {
                _ if name.is_empty() => 0,
                Some(at) => *at,
                None => {
                    targets.push(std::str::from_utf8(&name).map_or_else(|_| Target::new(BAD_TENANT), target));
                    known.insert(name.clone(), targets.len() - 1);
                    targets.len() - 1
                }
            });
        }
        Some((targets, assigned))
    }
}

fn target(name: &str) -> Target {
    match check_tenant(name) {
        Ok(()) if name.is_empty() => Target::new(NO_TENANT),
        Ok(()) => Target::new(name),
        Err(_) => Target::new(BAD_TENANT),
    }
}

/// Appends the tenant that a record names itself, if it does.
fn own(record: &Record<'_>, out: &mut Vec<u8>) {
    let resource = record.resource();
    let of_resource =
        |name: &[u8]| resource_attributes(&resource).find(|(key, _)| *key == name).map(|(_, value)| value);
    let of_record = |name: &[u8]| record_attributes(record).find(|(key, _)| *key == name).map(|(_, value)| value);
    let hint = TENANT_HINT.as_bytes();
    let found = of_resource(TENANT_LABEL.as_bytes()).or_else(|| {
        let named = of_resource(hint).or_else(|| of_record(hint))?;
        let AnyValue::Str(named) = named else { return None };
        of_resource(named).or_else(|| of_record(named))
    });
    if let Some(value) = found {
        text::write(out, &value);
    }
}

impl Router for TenantRouter {
    /// Where no record names a tenant itself, the request is of one.
    fn only(&self, payload: &Payload) -> Option<Target> {
        let body = payload.body.contiguous();
        let names = contains(&body, TENANT_HINT.as_bytes()) || contains(&body, TENANT_LABEL.as_bytes());
        (!names).then(|| self.otherwise(payload))
    }

    fn route(&self, payload: Payload, out: &mut Routes) {
        let otherwise = self.otherwise(&payload);
        let body = payload.body.contiguous();
        let names = contains(&body, TENANT_HINT.as_bytes()) || contains(&body, TENANT_LABEL.as_bytes());
        let Some((targets, assigned)) = names.then(|| self.assign(&body, otherwise.clone())).flatten() else {
            return out.push((otherwise, payload));
        };
        let mut parts = Vec::new();
        let route = |record: &Record<'_>| assigned.get(record.ordinal()).copied().unwrap_or_default();
        let divided = wire::split_records(
            payload.signal,
            &body.clone().into(),
            targets.len(),
            &mut SplitScratch::new(),
            route,
            &mut parts,
        );
        match (divided, &parts[..]) {
            (Ok(()), [only]) => out.push((targets[only.output].clone(), payload)),
            (Ok(()), [_, ..]) => out.extend(parts.drain(..).map(|part| {
                let records = u32::try_from(part.records).unwrap_or(u32::MAX);
                let piece = Payload { body: part.body.into(), records, ..payload.clone() };
                (targets[part.output].clone(), piece)
            })),
            // It was checked at the door, so this does not happen but for a request without records.
            _ => out.push((otherwise, payload)),
        }
    }
}
