//! The command line: help, lists, validation with its exit code, the examples, and the commands of the README.

use crate::harness::process::{BYWASH, Process, command};
use crate::harness::{Load, Sink, eventually};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Scenario: `--help` of the program and of each command, and the list of components. Guarantee: as reviewed.
#[tokio::test]
async fn help_and_lists_are_as_reviewed() {
    let here = root();
    for (name, args) in [
        ("help", &["--help"][..]),
        ("help_run", &["run", "--help"]),
        ("help_validate", &["validate", "--help"]),
        ("help_print_config", &["print-config", "--help"]),
        ("help_components", &["components", "--help"]),
        ("help_dlq", &["dlq", "--help"]),
        ("help_dlq_list", &["dlq", "list", "--help"]),
        ("help_dlq_replay", &["dlq", "replay", "--help"]),
        ("help_query", &["query", "--help"]),
        ("help_load", &["load", "--help"]),
        ("help_sink", &["sink", "--help"]),
        ("help_stages", &["stages", "--help"]),
        ("components", &["components"]),
    ] {
        let (code, out, err) = command(args, &here).await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
        insta::assert_snapshot!(name, out);
    }
}

/// Scenario: the components as JSON, completions for each shell, the version. Guarantee: they can be used by programs.
#[tokio::test]
async fn output_for_programs() {
    let here = root();
    let (code, out, _) = command(&["components", "--format", "json"], &here).await;
    assert_eq!(code, Some(0));
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    let has = |section: &str, name: &str| list[section].as_array().unwrap().iter().any(|c| c["name"] == name);
    assert!(
        has("receivers", "otlp")
            && has("exporters", "otlp_grpc")
            && has("processors", "batch")
            && has("extensions", "health_check"),
        "{out}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = command(&["completions", shell], &here).await;
        assert!(code == Some(0) && out.contains("bywash") && out.contains("validate"), "{shell}");
    }
    let (code, out, _) = command(&["--version"], &here).await;
    assert_eq!((code, out.trim()), (Some(0), concat!("bywash ", env!("CARGO_PKG_VERSION"))));
}

/// Scenario: wrong arguments. Guarantee: exit code 2 with a hint on standard error, nothing on standard output.
#[tokio::test]
async fn wrong_arguments() {
    for args in [
        &["run"][..],
        &["rum"],
        &["--set", "a=b"],
        &["--config", "a.yaml", "components"],
        &["load", "--records", "0"],
        &["load", "--protocol", "smoke"],
        &["sink", "--stall", "--reset"],
    ] {
        let (code, out, err) = command(args, &root()).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains("error:"), "{args:?}: {err}");
    }
}

/// Scenario: a configuration with a misspelt key, a wrong type, an unknown component, a dangling reference and a
/// duplicate key. Guarantee: exit code 78, and each of them with file, line, source and (where there is one) the
/// nearest valid name; `run` says the same.
#[tokio::test]
async fn every_error_at_once() {
    let dir = TempDir::new().unwrap();
    let wrong = "\
receivers:
  otlp:
    protocols:
      grpc: {endpont: localhost:4317}
exporters:
  otlp_grpc/a:
    endpoint: localhost:5317
    sending_queue: {queue_size: many}
  otlp_grcp/b:
    endpoint: localhost:5318
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [otlp_grpc/a, otlp_grpc/c]}
    traces: {receivers: [otlp], exporters: [otlp_grpc/a]}
";
    std::fs::write(dir.path().join("wrong.yaml"), wrong).unwrap();
    for verb in ["validate", "run"] {
        let (code, out, err) = command(&[verb, "--config", "wrong.yaml"], dir.path()).await;
        assert_eq!((code, out.as_str()), (Some(78), ""), "{verb}");
        for part in [
            "wrong.yaml:4:",
            "endpont",
            "endpoint",
            "wrong.yaml:8:",
            "queue_size",
            "wrong.yaml:9:",
            "otlp_grcp",
            "otlp_grpc",
            "wrong.yaml:13:",
            "otlp_grpc/c",
        ] {
            assert!(err.contains(part), "{verb}: no {part} in\n{err}");
        }
        insta::assert_snapshot!("every_error_at_once", err);
    }
    std::fs::write(dir.path().join("twice.yaml"), "receivers:\n  otlp:\nreceivers:\n  otlp:\n").unwrap();
    let (code, _, err) = command(&["validate", "--config", "twice.yaml"], dir.path()).await;
    assert_eq!(code, Some(78));
    assert!(err.contains("twice.yaml:3:"), "{err}");
    let (code, _, err) = command(&["validate", "--config", "absent.yaml"], dir.path()).await;
    assert!(code == Some(78) && err.contains("absent.yaml"), "{code:?} {err}");
}

/// Certificates of a small authority, by the names that examples/tls.yaml gives them, and the token of examples/credentials.yaml.
fn certificates(dir: &Path) {
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&key).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.join("token"), "token").unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn examples() -> Vec<PathBuf> {
    let folders = [root().join("examples"), root().join("examples/two-tiers"), root().join("examples/loki")];
    let mut all: Vec<_> =
        folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap().map(|e| e.unwrap().path())).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    all.sort();
    all
}

/// Scenario: every file in examples/. Guarantee: `bywash validate` finds no error in it.
#[tokio::test]
async fn every_example_is_valid() {
    let dir = TempDir::new().unwrap();
    certificates(dir.path());
    let tls = format!("TLS_DIR={}", dir.path().display());
    for example in examples() {
        let (code, out, err) = command_with(&tls, &["validate", "--config", example.to_str().unwrap()]).await;
        assert_eq!(code, Some(0), "{}: {err}", example.display());
        assert!(out.starts_with("OK"), "{out}");
        assert!(!err.contains("error"), "{}: {err}", example.display());
    }
    assert!(examples().len() >= 5);
}

async fn command_with(variable: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec![variable, BYWASH];
    all.extend(args);
    let run =
        tokio::process::Command::new("env").args(all).current_dir(root()).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

/// Scenario: the configuration in the README. Guarantee: it is examples/gateway.yaml to the letter.
#[test]
fn the_readme_shows_the_example() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let yaml = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let example = std::fs::read_to_string(root().join("examples/gateway.yaml")).unwrap();
    let example: String = example.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    assert_eq!(yaml, example);
}

/// Runs an ignored test of this binary in a network of its own, where every port is free; where that cannot be had, in
/// this one.
async fn in_own_network(test: &str) {
    let exe = std::env::current_exe().unwrap();
    let inside = [exe.to_str().unwrap(), "--ignored", "--exact", test, "--nocapture"];
    let own = ["-rn", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""];
    let probe = tokio::process::Command::new("unshare").args(own).args(["true"]).output().await;
    let mut run = match probe.is_ok_and(|p| p.status.success()) {
        true => {
            let mut run = tokio::process::Command::new("unshare");
            run.args(own);
            run
        }
        false => tokio::process::Command::new("env"),
    };
    let run = run.args(inside).kill_on_drop(true).output().await.unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{out}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(out.contains("1 passed"), "{out}");
}

/// Scenario: every example as it stands, with a backend where it sends to. Guarantee: it starts, takes telemetry, and
/// delivers it.
#[tokio::test]
async fn every_example_runs() {
    in_own_network("command_line::inside_every_example_runs").await;
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test]
#[ignore = "run by every_example_runs, in a network of its own"]
async fn inside_every_example_runs() {
    let dir = TempDir::new().unwrap();
    certificates(dir.path());
    let tls_dir = dir.path().to_str().unwrap();
    // The two tiers run against each other in a test of their own.
    // What is only scraped or kept has a test of its own too: no backend is sent anything.
    let apart = ["prometheus.yaml", "store.yaml", "agent.yaml"];
    let is_sent = |example: &PathBuf| !apart.iter().any(|name| example.ends_with(name));
    for example in examples().into_iter().filter(|e| e.parent() == Some(&root().join("examples"))).filter(is_sent) {
        let is_tls = example.ends_with("tls.yaml");
        // The backend of tls.yaml wants TLS: another of ours, before the sink.
        let (port, http) =
            if is_tls { ("localhost:5318", "localhost:5417") } else { ("localhost:5317", "localhost:5417") };
        let mut sink = Sink::start(&["--grpc", port, "--http", http]).await;
        let backend = dir.path().join("backend.yaml");
        std::fs::write(&backend, tls_backend(tls_dir)).unwrap();
        let mut processes = vec![];
        if is_tls {
            let args = ["run", "--config", backend.to_str().unwrap()].map(String::from);
            processes.push(Process::start("the backend of tls.yaml", &args, dir.path()));
            eventually("the backend", async || tokio::net::TcpStream::connect(local(5317)).await.ok()).await;
        }
        let args = ["run", "--config", example.to_str().unwrap()].map(String::from);
        let mut bywash = Process::start_with("an example", &args, dir.path(), &[("TLS_DIR", tls_dir)]);
        eventually("readiness", async || tokio::net::TcpStream::connect(local(4317)).await.ok()).await;
        let files = ["ca.pem", "client.pem", "client.key"].map(|f| format!("{tls_dir}/{f}"));
        let secure = ["--ca-file", &files[0], "--cert-file", &files[1], "--key-file", &files[2]];
        let (load, summary) = match is_tls {
            true => Load::run_to("https://localhost:4317", &[&["--requests", "30"][..], &secure[..]].concat()).await,
            false => Load::run_to("http://localhost:4317", &["--requests", "30", "--rate", "0"]).await,
        };
        assert_eq!(summary.acked, 300, "{}: {summary:?}", example.display());
        sink.until("distinct", |n| n == 300).await;
        bywash.signal("TERM");
        assert_eq!(bywash.ended().await, Some(0), "{}", example.display());
        for process in &mut processes {
            process.signal("TERM");
            assert_eq!(process.ended().await, Some(0));
        }
        let stats = sink.stop().await;
        let copies = if example.ends_with("fan-out.yaml") { 2 } else { 1 };
        assert_eq!(stats["records"], 300 * copies, "{}", example.display());
        drop(load);
    }
}

/// Scenario: the agent's example with another folder of logs, to which lines are written. Guarantee: they arrive.
#[tokio::test]
async fn the_agent_of_the_examples_runs() {
    in_own_network("command_line::inside_the_agent_of_the_examples_runs").await;
}

#[tokio::test]
#[ignore = "run by the_agent_of_the_examples_runs, in a network of its own"]
async fn inside_the_agent_of_the_examples_runs() {
    let dir = TempDir::new().unwrap();
    let (logs, storage) = (dir.path().join("log"), dir.path().join("storage"));
    std::fs::create_dir(&logs).unwrap();
    let example = std::fs::read_to_string(root().join("examples/agent.yaml")).unwrap();
    std::fs::write(dir.path().join("agent.yaml"), example.replace("/var/log", logs.to_str().unwrap())).unwrap();
    let sink = Sink::start(&["--grpc", "localhost:5317"]).await;
    let args = ["run", "--config", "agent.yaml"].map(String::from);
    let variables = [("GATEWAY", "localhost:5317"), ("BYWASH_STORAGE", storage.to_str().unwrap())];
    let mut agent = Process::start_with("the agent", &args, dir.path(), &variables);
    // What was there before the first look is passed over, so lines are added until some arrive.
    let mut log = std::fs::File::create(logs.join("shop.log")).unwrap();
    eventually("lines", async || {
        writeln!(log, "a line").unwrap();
        writeln!(log, r#"{{"level": "warn", "text": "another"}}"#).unwrap();
        (sink.stats().await["records"].as_u64()? > 0).then_some(())
    })
    .await;
    agent.signal("TERM");
    assert_eq!(agent.ended().await, Some(0));
}

fn tls_backend(tls_dir: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: localhost:5317, tls: {{cert_file: {tls_dir}/server.pem, key_file: {tls_dir}/server.key, client_ca_file: {tls_dir}/ca.pem}}}}}}}}}}\n\
         exporters: {{otlp_grpc: {{endpoint: localhost:5318, tls: {{insecure: true}}}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    logs: {{receivers: [otlp], exporters: [otlp_grpc]}}\n    \
         traces: {{receivers: [otlp], exporters: [otlp_grpc]}}\n    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}\n"
    )
}

/// Scenario: the commands of the README, block by block, in a fresh copy of examples/. Guarantee: each works: those
/// that run on are ready and end well when told to, the others end well by themselves.
#[tokio::test]
async fn the_commands_of_the_readme_work() {
    in_own_network("command_line::inside_the_commands_of_the_readme").await;
}

#[tokio::test]
#[ignore = "run by the_commands_of_the_readme_work, in a network of its own"]
async fn inside_the_commands_of_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut running: Vec<Process> = vec![];
    let mut tried = 0;
    // What is kept without being told where.
    let kept = TempDir::new().unwrap();
    let state = [("XDG_STATE_HOME", kept.path().to_str().unwrap())];
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for line in block.lines() {
            let line = line.split(" #").next().unwrap().trim();
            // A debug build in a test does for one second what the README does for ten, or until it is told to end.
            let line = line.replace("--duration 10s", "--duration 1s");
            let line = line.replace("load --demo", "load --demo --duration 1s");
            let args = match (line.strip_prefix("cargo run --release"), line.strip_prefix("bywash ")) {
                (Some(rest), _) => rest.trim().strip_prefix("--").unwrap_or_default().to_owned(),
                (_, Some(rest)) => rest.to_owned(),
                _ => {
                    assert!(line.is_empty() || line == "scripts/test", "teach this test to run `{line}`");
                    continue;
                }
            };
            let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
            tried += 1;
            let lasts = args.first().is_none_or(|a| a == "run" || a == "sink");
            if lasts && args.first().is_none_or(|a| a == "run") {
                end(&mut running).await;
            }
            let mut process = Process::start_with("a command of the README", &args, &root(), &state);
            if !lasts {
                assert_eq!(process.ended().await, Some(0), "{line}: {:?}", process.stderr.all());
                continue;
            }
            let port = if args.first().is_some_and(|a| a == "sink") { 5317 } else { 4317 };
            eventually(&line, async || tokio::net::TcpStream::connect(local(port)).await.ok()).await;
            assert!(process.is_alive(), "{line}");
            running.push(process);
        }
    }
    assert!(tried >= 5, "the README has lost its commands: {tried}");
    // The last block leaves a gateway and a backend running: what goes in comes out.
    let (_load, summary) = Load::run_to("http://localhost:4317", &["--requests", "30", "--rate", "0"]).await;
    assert_eq!(summary.acked, 300);
    let mut sink = running.pop().unwrap();
    end(&mut running).await;
    sink.signal("TERM");
    assert_eq!(sink.ended().await, Some(0));
    let counts =
        eventually("the counts", async || sink.stdout.json().into_iter().find(|l| l.get("records").is_some())).await;
    assert_eq!(counts["records"], 300);
}

async fn end(running: &mut Vec<Process>) {
    for mut process in running.drain(..) {
        process.signal("TERM");
        assert_eq!(process.ended().await, Some(0));
    }
}
