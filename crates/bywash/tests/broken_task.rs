//! A task panics that nothing can replace: the program as a whole ends in order, and says why. In a process of its own, because
//! that is what ends.

// Helpers of a test may panic as the test itself may.
#![allow(clippy::unwrap_used)]

use bywash::app::components::KINDS;
use bywash::app::plan::Sources;
use bywash::app::run::{EX_SOFTWARE, Exit, Options, run};
use std::time::Duration;
use telemetry::writer;

const PATIENCE: Duration = Duration::from_secs(20);

/// Scenario: a vital task of a running program panics. Guarantee: it drains and ends by itself with the exit code for that; the log has the panic, with
/// place and reason, and what followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_that_nothing_can_mend_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let yaml = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}\nexporters: {{nop: }}\nservice:\n  \
         telemetry: {{logs: {{encoding: json, output_paths: ['{}']}}, metrics: {{level: none}}}}\n  \
         pipelines: {{logs: {{receivers: [otlp], exporters: [nop]}}}}\n",
        log.display()
    );
    let sources = Sources { configs: vec![format!("yaml:{yaml}")], sets: vec![], gates: vec![], kinds: KINDS };
    let running = tokio::spawn(run(Options { sources, watch: false, built_in: false }));
    let logged = || std::fs::read_to_string(&log).unwrap_or_default();
    tokio::time::timeout(PATIENCE, async {
        while !logged().contains("\"ready\"") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is ready");
    flow::task::vital("a part", async { panic!("a bug") }, || ());
    let exit = tokio::time::timeout(PATIENCE, running).await.expect("it ends").unwrap().unwrap();
    assert_eq!(exit, Exit::Code(EX_SOFTWARE));
    writer::flush(PATIENCE);
    let lines: Vec<serde_json::Value> = logged().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line =
        |message: &str| lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{message}"));
    let panic = line("panic");
    assert_eq!(panic["problem"], "a bug");
    assert!(panic["place"].as_str().unwrap().contains("broken_task.rs"));
    assert_eq!(line("a task panicked that nothing can replace: the program ends")["task"], "a part");
    assert_eq!(line("a part that cannot be replaced is gone: ending")["task"], "a part");
    line("stopped: everything taken in was delivered or settled");
}
