//! `--feature-gates`: the collector's switches for behaviour that is new or about to go.
//!
//! Command lines that are in use name them, so they are accepted. There are no gates here: what a gate of the collector decides
//! is either always so here, or does not exist. Whoever sets one to what is the case hears nothing; all else is a warning.

use config::{Diagnostic, Diagnostics};

/// Gates of the collector that name something which exists here, and which way it is decided.
const DECIDED: [(&str, bool); 8] = [
    ("component.UseLocalHostAsDefaultHost", true),
    ("confmap.strictlyTypedInput", true),
    ("confmap.unifyEnvVarExpansion", true),
    ("otelcol.printInitialConfig", true),
    ("pkg.exporterhelper.queueBatchEnabled", false),
    ("service.profilesSupport", false),
    ("telemetry.newPipelineTelemetry", false),
    ("telemetry.useOtelForInternalMetrics", true),
];

/// Looks through the arguments of `--feature-gates`: lists with commas of ids, each with `-` before it to switch it off, or `+`.
pub fn check(arguments: &[String], diagnostics: &mut Diagnostics) {
    for gate in arguments.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|gate| !gate.is_empty()) {
        let (id, on) = match gate.strip_prefix('-') {
            Some(id) => (id, false),
            None => (gate.strip_prefix('+').unwrap_or(gate), true),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if id.is_empty() || !id.chars().all(legal) {
            let message = format!("`--feature-gates`: `{}` is no id of a feature gate", gate.escape_debug());
            diagnostics.push(Diagnostic::error(message));
            continue;
        }
        let word = |on: bool| if on { "on" } else { "off" };
        let message = match DECIDED.iter().find(|(known, _)| *known == id) {
            Some((_, always)) if *always == on => continue,
            Some((_, always)) => {
                format!("the feature gate `{id}` has no effect: what it decides is always {} here", word(*always))
            }
            None => format!("the feature gate `{id}` is not known here and has no effect"),
        };
        diagnostics.push(Diagnostic::warning(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(arguments: &[&str]) -> Vec<String> {
        let mut found = Diagnostics::new();
        check(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), &mut found);
        found.errors().chain(found.warnings()).map(|d| d.message.clone()).collect()
    }

    /// Scenario: gates set to what is the case, set otherwise, unknown, and no gates at all. Guarantee: silence, a warning, a warning,
    /// an error.
    #[test]
    fn gates_are_accepted_and_told_of() {
        assert_eq!(
            found(&["confmap.unifyEnvVarExpansion,-service.profilesSupport", "+confmap.strictlyTypedInput", ""]),
            [""; 0]
        );
        assert!(found(&["service.profilesSupport"])[0].contains("always off here"));
        assert!(found(&["-exporter.new.thing"])[0].contains("`exporter.new.thing` is not known here"));
        assert!(found(&["a b"])[0].contains("is no id of a feature gate"));
    }
}
