//! Started as the collector is: its command line, its configurations, what its users have around them.

use crate::harness::process::{BYWASH, Process, command};
use crate::harness::{Load, Sink, eventually};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A configuration without ports: a socket in, an exporter of one's choice out.
fn config(dir: &Path, exporter: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{transport: unix, endpoint: {}/in.sock}}}}}}}}\n\
         exporters: {{{exporter}}}\nservice:\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{logs: {{receivers: [otlp], exporters: [{}]}}}}\n",
        dir.display(),
        exporter.split(':').next().unwrap()
    )
}

/// POSTs an empty request to a socket; the first line of the answer.
async fn post(socket: &Path, headers: &str) -> Option<String> {
    Some(exchange(socket, headers).await?.lines().next()?.to_owned())
}

/// The same; the whole answer.
async fn exchange(socket: &Path, headers: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n{headers}\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

fn args(list: &[&str]) -> Vec<String> {
    list.iter().map(|a| (*a).to_owned()).collect()
}

/// Scenario: the ways in which the collector is started, with the name of the program swapped: a file by `--config=`, an overlay, a
/// variable, `yaml:`, `--set`, gates. The receiver listens on a socket in the file system, twice in a row. Guarantee: it runs, takes
/// what is sent, and ends well; the socket goes with it.
#[tokio::test]
async fn the_collectors_command_line_starts_it() {
    let dir = TempDir::new().unwrap();
    let text = config(dir.path(), "debug: ");
    std::fs::write(dir.path().join("a.yaml"), &text).unwrap();
    let socket = dir.path().join("in.sock");
    for start in [
        &["--config=a.yaml"][..],
        &["--config", "file:a.yaml", "--feature-gates=-some.gate,confmap.unifyEnvVarExpansion"],
        &[
            "--config=env:CONFIG",
            "--config=yaml:exporters::debug::verbosity: DETAILED",
            "--set=service.telemetry.logs.level=debug",
        ],
        &["run", "--config=a.yaml", "--set", "exporters.debug.verbosity=Normal"],
    ] {
        let mut process = Process::start_with("the collector", &args(start), dir.path(), &[("CONFIG", &text)]);
        let answer = eventually("an answer", async || post(&socket, "").await).await;
        assert_eq!(answer, "HTTP/1.1 200 OK", "{start:?}");
        process.signal("TERM");
        assert_eq!(process.ended().await, Some(0), "{start:?}: {:?}", process.stderr.all());
        assert!(!socket.exists());
    }
    // A socket that a crash left behind is no obstacle.
    let mut process = Process::start("the collector", &args(&["--config=a.yaml"]), dir.path());
    eventually("an answer", async || post(&socket, "").await).await;
    process.kill();
    process.ended().await;
    assert!(socket.exists());
    let mut process = Process::start("the collector", &args(&["--config=a.yaml"]), dir.path());
    eventually("an answer", async || post(&socket, "").await).await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
}

/// Scenario: a receiver on a socket gets other keys by a reload. Guarantee: the same socket answers by the new ones.
#[tokio::test]
async fn a_reload_takes_over_a_socket() {
    let dir = TempDir::new().unwrap();
    let text = config(dir.path(), "nop: ");
    std::fs::write(dir.path().join("a.yaml"), &text).unwrap();
    let socket = dir.path().join("in.sock");
    let mut process = Process::start("a gateway", &args(&["--config=a.yaml"]), dir.path());
    eventually("an answer", async || post(&socket, "").await).await;
    std::fs::write(dir.path().join("a.yaml"), text.replace("in.sock", "in.sock, response_headers: {x-new: yes}"))
        .unwrap();
    process.signal("HUP");
    eventually("the new keys", async || exchange(&socket, "").await.filter(|a| a.contains("x-new: yes"))).await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    assert!(!socket.exists());
}

/// Scenario: a configuration with a gate that nobody knows, one whose files are elsewhere, one with mistakes; read by people and by
/// programs. Guarantee: warnings; errors that `--offline` makes warnings; a line that counts, and JSON that says the same.
#[tokio::test]
async fn validate_tells_people_and_programs() {
    let dir = TempDir::new().unwrap();
    let text = config(dir.path(), "otlp_http: {endpoint: 'https://a', tls: {ca_file: /nowhere/ca.pem}}");
    std::fs::write(dir.path().join("a.yaml"), &text).unwrap();
    let run = async |list: &[&str]| command(list, dir.path()).await;
    let (code, out, err) = run(&["validate", "--config=a.yaml"]).await;
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("cannot read /nowhere/ca.pem") && err.trim_end().ends_with("1 error"), "{err}");
    let (code, out, err) = run(&["validate", "--config=a.yaml", "--offline", "--feature-gates=no.such.gate"]).await;
    assert!(code == Some(0) && out.starts_with("OK") && err.trim_end().ends_with("2 warnings"), "{out}{err}");
    assert!(err.contains("`no.such.gate` is not known here"), "{err}");
    let wrong = text.replace("otlp_http: {", "filelog: , otlp_http: {endpont: 1, ");
    std::fs::write(dir.path().join("b.yaml"), wrong).unwrap();
    let (code, out, err) = run(&["validate", "--config=b.yaml", "--format=json"]).await;
    assert_eq!((code, err.as_str()), (Some(78), ""));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found["valid"], &found["errors"]), (&false.into(), &2.into()), "{out}");
    assert_eq!(found["summary"], "2 errors: 1 missing component (filelog), 1 unknown key");
    let key = found["findings"].as_array().unwrap().iter().find(|f| f["topic"] == "unknown_key").unwrap();
    assert_eq!((&key["suggestion"], &key["place"]["line"]), (&"endpoint".into(), &2.into()), "{out}");
}

/// Scenario: a configuration with secrets is printed, merged with an overlay and expanded; then one with a mistake. Guarantee: what
/// came of it, secrets hidden unless asked for; a refusal, unless that is not asked for.
#[tokio::test]
async fn print_config_shows_what_became_of_it() {
    let dir = TempDir::new().unwrap();
    let text = config(dir.path(), "otlp_http: {endpoint: 'http://${env:BACKEND}', headers: {x: hunter2}}");
    std::fs::write(dir.path().join("a.yaml"), &text).unwrap();
    let print = async |more: &[&str]| {
        let overlay = "--set=exporters.otlp_http.timeout=7s";
        let mut run = tokio::process::Command::new(BYWASH);
        run.args(["print-config", "--config=a.yaml", overlay]).args(more).env("BACKEND", "backend:4318");
        let run = run.current_dir(dir.path()).kill_on_drop(true).output().await.unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    let (code, out) = print(&[]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("endpoint: http://backend:4318\n") && out.contains("timeout: 7s\n"), "{out}");
    assert!(!out.contains("hunter2") && out.contains("x: \"[REDACTED]\"\n"), "{out}");
    let (_, out) = print(&["--mode=unredacted", "--format=json"]).await;
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["exporters"]["otlp_http"]["headers"]["x"], "hunter2");
    let (code, out) = print(&["--set=exporters.otlp_http.nonsense=1"]).await;
    assert_eq!((code, out.as_str()), (Some(78), ""));
    let (code, out) = print(&["--set=exporters.otlp_http.nonsense=1", "--validate=false"]).await;
    assert!(code == Some(0) && out.contains("nonsense: 1\n"), "{out}");
}

/// Scenario: users with plain passwords and with bcrypt, right and wrong. Guarantee: 200 for the right ones, again and again; 401 else.
#[tokio::test]
async fn users_of_an_htpasswd_file_may_send() {
    let dir = TempDir::new().unwrap();
    // "hunter2", by `htpasswd -nbB -C 4`.
    let hash = bcrypt::hash("hunter2", 4).unwrap().replacen("$2b$", "$2y$", 1);
    std::fs::write(dir.path().join("users"), format!("plain:pw\nyou:{hash}\n")).unwrap();
    let text = config(dir.path(), "nop: ").replace("in.sock", "in.sock, auth: {authenticator: basicauth}")
        + "extensions: {basicauth: {htpasswd: {file: users}}}\n";
    let text = text.replace("service:\n", "service:\n  extensions: [basicauth]\n");
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let mut process = Process::start("a gateway", &args(&["--config=a.yaml"]), dir.path());
    let socket = dir.path().join("in.sock");
    eventually("an answer", async || post(&socket, "").await).await;
    for (pair, status) in [
        ("cGxhaW46cHc=", "200"),     // plain:pw
        ("eW91Omh1bnRlcjI=", "200"), // you:hunter2
        ("eW91Omh1bnRlcjI=", "200"),
        ("eW91OnB3", "401"),     // you:pw
        ("bm9ib2R5OnB3", "401"), // nobody:pw
    ] {
        let answer = post(&socket, &format!("authorization: Basic {pair}\r\n")).await.unwrap();
        assert!(answer.contains(status), "{pair}: {answer}");
    }
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
}

/// Scenario: a number of threads that is none; a port that is taken. Guarantee: exit code 1 and one line that says what is wrong, once.
#[tokio::test]
async fn what_cannot_start_says_so_once() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = config(dir.path(), "nop: ").replace(
        &format!("transport: unix, endpoint: {}/in.sock", dir.path().display()),
        &format!("endpoint: '127.0.0.1:{port}'"),
    );
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    for junk in ["junk", "0", "-1"] {
        let mut process =
            Process::start_with("junk", &args(&["--config=a.yaml"]), dir.path(), &[("TOKIO_WORKER_THREADS", junk)]);
        assert_eq!(process.ended().await, Some(1), "{junk}");
        let lines = eventually("the error", async || Some(process.stderr.all()).filter(|l| !l.is_empty())).await;
        assert!(lines.len() == 1 && lines[0].contains("TOKIO_WORKER_THREADS must be a whole number"), "{lines:?}");
    }
    let mut process = Process::start("no port", &args(&["--config=a.yaml"]), dir.path());
    assert_eq!(process.ended().await, Some(1));
    let is_error = |line: &String| line.starts_with("error:");
    let line = eventually("the error", async || process.stderr.all().into_iter().find(is_error)).await;
    assert_eq!(line.matches("cannot listen").count(), 1, "{line}");
    assert_eq!(line.matches("in use").count(), 1, "{line}");
}

/// Scenario: files may not grow beyond a limit (RLIMIT_FSIZE) that the queue on disk reaches; then somebody sends on. Guarantee: the
/// process lives on, and ends when it is told to: no signal kills it.
#[tokio::test]
async fn a_limit_on_files_does_not_kill_it() {
    let dir = TempDir::new().unwrap();
    let text = "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\n\
                exporters: {otlp_http: {endpoint: 'http://127.0.0.1:1', sending_queue: {storage: file_storage}}}\n\
                extensions: {file_storage: {directory: queue, create_directory: true}}\nservice:\n  extensions: [file_storage]\n  \
                shutdown_timeout: 1s\n  telemetry: {metrics: {level: none}}\n  \
                pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}\n";
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let shell = format!("ulimit -f 64; exec {BYWASH} --config a.yaml");
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", &shell])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("it ended before it listened");
        if let Some((_, rest)) = line.split_once("127.0.0.1:").filter(|_| line.contains("listening")) {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            break std::net::SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        }
    };
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let body = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1","body":{{"stringValue":"{}"}}}}]}}]}}]}}"#,
        "x".repeat(20_000)
    );
    let headers = [("content-type", "application/json")];
    let mut refused = 0;
    for _ in 0..20 {
        let answer = crate::harness::http::request(address, "POST", "/v1/logs", &headers, body.as_bytes()).await;
        refused += u32::from(answer.is_none_or(|a| a.status != 200));
    }
    assert!(refused > 0, "the limit was never reached");
    assert!(child.try_wait().unwrap().is_none(), "it was killed");
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.wait().await.unwrap().code().is_some(), "a signal killed it");
    reading.abort();
}

/// Scenario: what is sent goes by a proxy that the environment names. Guarantee: the backend has it, and the proxy saw the tunnel.
#[tokio::test]
async fn a_proxy_of_the_environment_is_used() {
    let mut sink = Sink::start(&["--grpc", "127.0.0.1:0"]).await;
    let backend = sink.grpc[0];
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = proxy.local_addr().unwrap();
    let (seen, mut heads) = tokio::sync::mpsc::channel(100);
    let task = tokio::spawn(async move {
        loop {
            let (mut client, _) = proxy.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut head = vec![];
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                seen.send(String::from_utf8(head).unwrap()).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = tokio::net::TcpStream::connect(backend).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let dir = TempDir::new().unwrap();
    let text = "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}\n\
                exporters: {otlp_grpc: {endpoint: 'backend.invalid:4317', tls: {insecure: true}}}\nservice:\n  acknowledge: delivered\n  \
                telemetry: {metrics: {level: none}}\n  pipelines: {logs: {receivers: [otlp], exporters: [otlp_grpc]}}\n";
    std::fs::write(dir.path().join("a.yaml"), text).unwrap();
    let variable = format!("http://me:pw@{at}");
    let mut process =
        Process::start_with("behind a proxy", &args(&["--config=a.yaml"]), dir.path(), &[("HTTPS_PROXY", &variable)]);
    let address = eventually("a listener", async || {
        let line = process.stderr.all().into_iter().find(|line| line.contains("listening"))?;
        let port: String = line.split_once("127.0.0.1:")?.1.chars().take_while(char::is_ascii_digit).collect();
        Some(std::net::SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
    })
    .await;
    let (_load, summary) =
        Load::run_to(&format!("http://{address}"), &["--requests", "10", "--rate", "0", "--signal", "logs"]).await;
    assert_eq!(summary.failed, 0, "{summary:?}");
    sink.until("distinct", |n| n == summary.acked).await;
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("CONNECT backend.invalid:4317 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{head}");
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    task.abort();
    sink.stop().await;
}
