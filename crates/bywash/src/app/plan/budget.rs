//! How much memory there is to be: `service.budget` and the memory limiters as one.

use components::processors::memory_limiter;
use config::service::{BudgetConfig, TenantConfig};
use config::{Component, Diagnostic, Diagnostics};
use std::sync::Arc;
use telemetry::process::total_memory;

/// From this limit on the whole process is meant to stay within it; below, the program alone takes too large a part of it.
const WHOLE_PROCESS: u64 = 256 << 20;

/// What of the limit requests may hold: a sixteenth is set aside for the program itself and for the allocator.
fn for_requests(limit: u64) -> u64 {
    if limit >= WHOLE_PROCESS { limit - limit / 16 } else { limit }
}

fn tenants(config: &TenantConfig) -> flow::TenantsConfig {
    flow::TenantsConfig { share: config.share, most: config.max_tenants, weights: config.weights.clone() }
}

/// The budget. A limiter's limit takes the place of the default one; of several limits that are written, the smallest holds.
pub(super) fn budget<'a>(
    config: &BudgetConfig,
    is_written: bool,
    limiters: impl Iterator<Item = (&'a Component<'a>, &'a memory_limiter::Config)>,
    diagnostics: &mut Diagnostics,
) -> flow::BudgetConfig {
    let own = memory_limiter::Limits { hard: config.limit.0, soft: config.soft_limit };
    let mut chosen = is_written.then_some(own);
    let mut sheds = true;
    for (component, limiter) in limiters {
        // Whoever writes a limiter relies on its meaning: from the soft limit on data is refused, and comes again.
        sheds = false;
        let Some(limits) = limiter.limits(total_memory()) else {
            let message = "how much memory there is cannot be found out here; set `limit_mib`";
            diagnostics.push(Diagnostic::error(message).at(&component.at.node.span, &component.at.path));
            continue;
        };
        if chosen.is_none_or(|c| limits.hard < c.hard) {
            chosen = Some(limits);
        }
    }
    let limits = chosen.unwrap_or(own);
    flow::BudgetConfig {
        bytes: for_requests(limits.hard),
        soft: limits.soft,
        sheds,
        records: config.max_records,
        requests: config.max_requests,
        tenants: config.tenant.header.is_some().then(|| Arc::new(tenants(&config.tenant))),
        ..flow::BudgetConfig::default()
    }
}
