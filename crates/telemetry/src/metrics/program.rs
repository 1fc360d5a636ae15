//! The program as a whole: its memory budget, its process, its configuration.

use super::Snapshot;
use crate::exposition::Page;
use flow::Level;

/// Of tasks of exporters, and of the others.
pub(super) const TASK_PANICS: &str = "bywash_task_panics";
pub(super) const TASK_PANICS_HELP: &str = "Panics of tasks: bugs. See the page on tasks for what follows.";

pub(super) fn render(page: &mut Page, snapshot: &Snapshot) {
    budget(page, snapshot);
    process(page, snapshot);
    let reloads = &snapshot.reloads;
    page.counter("bywash_config_reloads", "Reloads of the configuration, by what became of them.")
        .add(&[("outcome", "success")], reloads.succeeded)
        .add(&[("outcome", "failure")], reloads.failed);
    page.gauge("bywash_config_last_reload_successful", "Whether the last configuration was put to use.")
        .add(&[], reloads.last_successful);
    page.gauge("bywash_config_last_reload_success_timestamp_seconds", "When a configuration was last put to use.")
        .add(&[], reloads.last_success.as_secs());
    page.counter("bywash_log_lines_suppressed", "Lines that sampling left out of the log.")
        .add(&[], snapshot.suppressed_lines);
    for (output, lines) in &snapshot.dropped_lines {
        page.counter(
            "bywash_log_lines_dropped",
            "Lines that were not written: nobody read them, or the output failed.",
        )
        .add(&[("output", output)], *lines);
    }
    for (task, panics) in &snapshot.task_panics {
        page.counter(TASK_PANICS, TASK_PANICS_HELP).add(&[("task", task)], *panics);
    }
    page.counter("bywash_leaked_acknowledgements", "Acknowledgements dropped unsettled. More than 0 is a bug.")
        .add(&[], snapshot.leaked);
    let mut resource: Vec<(String, &str)> = vec![];
    for (key, value) in &snapshot.resource {
        let name = label_name(key);
        // Two attributes may look the same as labels, and a label must not come twice: the first stays.
        if resource.iter().all(|(known, _)| *known != name) {
            resource.push((name, value));
        }
    }
    let labels: Vec<(&str, &str)> = resource.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    page.gauge("target_info", "The program as a resource.").add(&labels, 1);
}

fn budget(page: &mut Page, snapshot: &Snapshot) {
    let budget = &snapshot.budget;
    page.gauge("bywash_budget_used_bytes", "Memory held on behalf of senders.").add(&[], budget.bytes);
    page.gauge("bywash_budget_call_bytes", "Of that, what open calls take beside their bodies.")
        .add(&[], budget.call_bytes);
    page.gauge("bywash_budget_connection_bytes", "Memory that connections take off the limit.")
        .add(&[], budget.connection_bytes);
    page.gauge("bywash_budget_lane_bytes", "Memory that lanes of exporters with many targets take off the limit.")
        .add(&[], budget.lane_bytes);
    page.gauge("bywash_budget_limit_bytes", "Memory at which everything is refused.").add(&[], budget.limit);
    page.gauge("bywash_budget_soft_limit_bytes", "Memory from which on only priority records enter.")
        .add(&[], (budget.limit as f64 * budget.soft) as u64);
    page.gauge("bywash_budget_records", "Records held.").add(&[], budget.records);
    page.gauge("bywash_budget_requests", "Requests held.").add(&[], budget.requests);
    if budget.max_records > 0 {
        page.gauge("bywash_budget_limit_records", "Records at which everything is refused.")
            .add(&[], budget.max_records);
    }
    if budget.max_requests > 0 {
        page.gauge("bywash_budget_limit_requests", "Requests at which everything is refused.")
            .add(&[], budget.max_requests);
    }
    page.gauge("bywash_budget_tenants", "Tenants with an account of their own.").add(&[], budget.tenants);
    let family = page.gauge("bywash_budget_level", "Who may enter: everything, priority records, or nothing.");
    for (name, level) in [("open", Level::Open), ("priority", Level::Priority), ("full", Level::Full)] {
        family.add(&[("level", name)], level == budget.level);
    }
}

fn process(page: &mut Page, snapshot: &Snapshot) {
    page.counter("otelcol_process_uptime", "Seconds since the program began.").add(&[], snapshot.uptime.as_secs_f64());
    let Some(process) = &snapshot.process else { return };
    page.counter("otelcol_process_cpu_seconds", "Processor time used, user and system.").add(&[], process.cpu_seconds);
    page.gauge("otelcol_process_memory_rss", "Resident memory in bytes.").add(&[], process.memory_rss);
    page.gauge("bywash_process_memory_virtual", "Address space in bytes.").add(&[], process.memory_virtual);
    page.gauge("bywash_process_threads", "Threads.").add(&[], process.threads);
    page.gauge("bywash_process_open_fds", "Open file descriptors.").add(&[], process.open_fds);
}

/// A resource attribute's name as a label: what may not stand in a label becomes an underscore.
fn label_name(key: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut name: String = key.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert_str(0, "key_");
    }
    name
}
