//! `bywash` without arguments: where it keeps its data, and its first words.

use crate::app::components::DestinationConfig;
use crate::app::plan::Plan;
use crate::app::service::Service;
use components::exporters::ExporterConfig;
use config::environment::Environment;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where data is kept: where the user's programs keep theirs, else with what is temporary. The folder is made here, so that one that cannot
/// be made is not chosen.
#[must_use]
pub fn store_path(environment: &dyn Environment) -> PathBuf {
    let home = |name: &str, below: &str| {
        let home = environment.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        home.map(|home| home.join(below))
    };
    let states = [home("XDG_STATE_HOME", "bywash/store"), home("HOME", ".local/state/bywash/store")];
    let can_be = |path: &PathBuf| std::fs::create_dir_all(path).is_ok() && !is_read_only(path);
    states.into_iter().flatten().find(can_be).unwrap_or_else(|| std::env::temp_dir().join("bywash/store"))
}

fn is_read_only(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().readonly())
}

/// Where the store of a plan is.
#[must_use]
pub fn kept_in(plan: &Plan) -> Option<String> {
    plan.outlets.iter().find_map(|outlet| match &outlet.config {
        DestinationConfig::Exporter(ExporterConfig::Store(config)) => Some(config.path.clone()),
        _ => None,
    })
}

/// The first words: where to send, where to look, where it is kept.
#[must_use]
pub fn greeting(service: &Service) -> String {
    let mut text = format!("bywash {} · Ctrl-C ends\n", env!("CARGO_PKG_VERSION"));
    let places = service.receivers().iter().flat_map(|receiver| &receiver.addresses);
    let places = places.map(|(transport, address)| match *transport {
        "http" => format!("http://{address} (OTLP/HTTP)"),
        transport => format!("{address} (OTLP/{transport})").replace("grpc", "gRPC"),
    });
    // Writing to a text cannot fail.
    let _ = writeln!(text, "  send to  {}", places.collect::<Vec<_>>().join(", "));
    let pages = [("store", "", ""), ("metrics", "/metrics", "metrics "), ("health_check", "/", "health ")];
    let pages = pages.into_iter().filter_map(|(page, path, name)| {
        let address = service.pages().address(page)?;
        Some(format!("{name}http://{address}{path}"))
    });
    let _ = writeln!(text, "  look at  {}", pages.collect::<Vec<_>>().join(", "));
    if let Some(path) = kept_in(service.plan()) {
        let _ = writeln!(text, "  kept in  {path}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct World(HashMap<&'static str, String>);

    impl Environment for World {
        fn var(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("there are none".to_owned())
        }
    }

    /// Scenario: a user with both variables, with one, with one that is no path, and with a home that is a file. Guarantee: the first that can be
    /// is chosen, and made.
    #[test]
    fn data_is_kept_where_the_user_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let (state, home) = (dir.path().join("state"), dir.path().join("home"));
        let text = |path: &Path| path.display().to_string();
        let world = |pairs: &[(&'static str, String)]| World(pairs.iter().cloned().collect());
        let both = world(&[("XDG_STATE_HOME", text(&state)), ("HOME", text(&home))]);
        assert_eq!(store_path(&both), state.join("bywash/store"));
        assert!(state.join("bywash/store").is_dir());
        let one = world(&[("XDG_STATE_HOME", "relative".to_owned()), ("HOME", text(&home))]);
        assert_eq!(store_path(&one), home.join(".local/state/bywash/store"));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(store_path(&world(&[("HOME", text(&file))])), std::env::temp_dir().join("bywash/store"));
        assert_eq!(store_path(&world(&[])), std::env::temp_dir().join("bywash/store"));
    }
}
