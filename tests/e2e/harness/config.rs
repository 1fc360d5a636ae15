//! Configurations: one OTLP receiver, some exporters, every signal from the one to the others.

use std::fmt::Write;
use std::net::SocketAddr;

/// A configuration in the making. Everything listens on ports of the system's choice.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    exporters: Vec<(String, String)>,
    service: String,
    storage: Option<String>,
}

/// Retries as fast as a test wants them.
pub const FAST_RETRY: &str = "retry_on_failure: {initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s}";

impl Pipeline {
    pub fn new() -> Pipeline {
        Pipeline::default()
    }

    /// An exporter over gRPC; `keys` are lines of YAML, each a key of the exporter.
    pub fn grpc(mut self, name: &str, to: SocketAddr, keys: &[&str]) -> Pipeline {
        let mut lines =
            vec![format!("endpoint: {to}"), "tls: {insecure: true}".to_owned(), "compression: none".to_owned()];
        merge(&mut lines, keys);
        self.exporters.push((format!("otlp_grpc/{name}"), lines.join("\n    ")));
        self
    }

    /// The same over HTTP.
    pub fn http(mut self, name: &str, to: SocketAddr, keys: &[&str]) -> Pipeline {
        let mut lines = vec![format!("endpoint: http://{to}"), "compression: none".to_owned()];
        merge(&mut lines, keys);
        self.exporters.push((format!("otlp_http/{name}"), lines.join("\n    ")));
        self
    }

    /// An exporter that balances over these backends.
    pub fn balanced(mut self, over: &[SocketAddr], keys: &[&str]) -> Pipeline {
        let list = over.iter().map(|at| format!("'{at}'")).collect::<Vec<_>>().join(", ");
        let otlp = format!("protocol: {{otlp: {{tls: {{insecure: true}}, compression: none, {FAST_RETRY}}}}}");
        let mut lines = vec![otlp, format!("resolver: {{static: {{hostnames: [{list}]}}}}")];
        merge(&mut lines, keys);
        self.exporters.push(("load_balancing".to_owned(), lines.join("\n    ")));
        self
    }

    /// The extension `file_storage` with these keys.
    pub fn storage(mut self, keys: &str) -> Pipeline {
        self.storage = Some(keys.to_owned());
        self
    }

    /// The same over the addresses of a name, at this port, asked for again and again.
    pub fn balanced_by_name(self, name: &str, port: u16, keys: &[&str]) -> Pipeline {
        let dns = format!("resolver: {{dns: {{hostname: {name}, port: {port}, interval: 20ms, timeout: 300ms}}}}");
        let keys: Vec<&str> = [dns.as_str()].into_iter().chain(keys.iter().copied()).collect();
        self.balanced(&[], &keys)
    }

    /// A line below `service`.
    pub fn service(mut self, line: &str) -> Pipeline {
        writeln!(self.service, "  {line}").unwrap();
        self
    }

    /// The text.
    pub fn yaml(&self) -> String {
        let names: Vec<_> = self.exporters.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        let mut yaml = String::from(
            "receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: 127.0.0.1:0}\n      http: {endpoint: 127.0.0.1:0}\n\
             extensions:\n  health_check: {endpoint: 127.0.0.1:0}\n",
        );
        if let Some(keys) = &self.storage {
            writeln!(yaml, "  file_storage: {{{keys}}}").unwrap();
        }
        yaml.push_str("exporters:\n");
        for (name, keys) in &self.exporters {
            writeln!(yaml, "  {name}:\n    {keys}").unwrap();
        }
        let storage = if self.storage.is_some() { ", file_storage" } else { "" };
        writeln!(yaml, "service:\n  extensions: [health_check{storage}]").unwrap();
        yaml.push_str("  telemetry:\n    logs: {encoding: json}\n");
        yaml.push_str("    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}\n");
        yaml.push_str(&self.service);
        yaml.push_str("  pipelines:\n");
        for signal in ["logs", "traces", "metrics"] {
            writeln!(yaml, "    {signal}: {{receivers: [otlp], exporters: [{names}]}}").unwrap();
        }
        yaml
    }
}

/// Adds keys; one that is there already is replaced.
fn merge(lines: &mut Vec<String>, keys: &[&str]) {
    for key in keys {
        let name = key.split(':').next().unwrap();
        lines.retain(|l| l.split(':').next() != Some(name));
        lines.push((*key).to_owned());
    }
}
