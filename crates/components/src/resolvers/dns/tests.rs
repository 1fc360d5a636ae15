use super::*;
use std::collections::VecDeque;

/// Answers in turn; then never.
#[derive(Default)]
struct Script {
    addresses: Mutex<VecDeque<Result<Vec<IpAddr>, String>>>,
    services: Mutex<VecDeque<Vec<(String, u16)>>>,
}

impl Lookup for Script {
    fn addresses<'a>(&'a self, _: &'a str) -> Answer<'a, IpAddr> {
        let answer = self.addresses.lock().pop_front();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, (String, u16)> {
        assert_eq!(name, "_otlp._tcp.x");
        let answer = self.services.lock().pop_front();
        Box::pin(async move { answer.ok_or_else(|| "NXDOMAIN".to_owned()) })
    }
}

fn dns(hostname: &str, port: &str, script: Script) -> Dns {
    let config = Config { hostname: hostname.into(), port: port.into(), ..Config::default() };
    Dns::new(&config, Arc::new(script))
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

/// Scenario: addresses of both families, twice the same, with and without a port.
/// Guarantee: a sorted list without doubles, IPv6 in brackets, the port only if it was configured.
#[tokio::test(start_paused = true)]
async fn addresses_are_written_as_the_collector_writes_them() {
    for (port, expected) in
        [("", ["10.0.0.1", "10.0.0.2", "[fd00::1]"]), ("55", ["10.0.0.1:55", "10.0.0.2:55", "[fd00::1]:55"])]
    {
        let script = Script::default();
        script.addresses.lock().push_back(Ok(ips(&["10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"])));
        assert_eq!(dns("x", port, script).next().await.unwrap().unwrap(), expected);
    }
}

/// Scenario: a good answer, an error, an empty answer, no answer at all. Guarantee: the first comes at once, the others about an
/// interval apart; what failed says why, and silence ends at the timeout.
#[tokio::test(start_paused = true)]
async fn failures_are_told_and_time_is_kept() {
    let script = Script::default();
    let answers = [Ok(ips(&["10.0.0.1"])), Err("SERVFAIL".to_owned()), Ok(vec![])];
    script.addresses.lock().extend(answers);
    let mut dns = dns("backends.example", "", script);
    let start = tokio::time::Instant::now();
    assert_eq!(dns.next().await.unwrap().unwrap(), ["10.0.0.1"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    for (n, text) in ["SERVFAIL", "no addresses", "no answer within 1s"].iter().enumerate() {
        let before = tokio::time::Instant::now();
        let why = dns.next().await.unwrap().unwrap_err();
        assert!(why.contains(text) && why.contains("backends.example"), "{why}");
        let waited = before.elapsed() - if n == 2 { Duration::from_secs(1) } else { Duration::ZERO };
        assert!(waited >= Duration::from_millis(4500) && waited <= Duration::from_millis(5501), "{waited:?}");
    }
}

/// Scenario: a name that begins with an underscore. Guarantee: SRV records are looked up, and give host and port.
#[tokio::test(start_paused = true)]
async fn a_service_name_is_looked_up_as_srv() {
    let script = Script::default();
    script.services.lock().push_back(vec![("b.x".into(), 4318), ("a.x".into(), 4317)]);
    let mut dns = dns("_otlp._tcp.x", "", script);
    assert_eq!(dns.next().await.unwrap().unwrap(), ["a.x:4317", "b.x:4318"]);
    assert!(dns.next().await.unwrap().unwrap_err().contains("NXDOMAIN"));
}

/// Scenario: the system's DNS setup is rewritten while the program runs, then emptied for a moment. Guarantee: the next lookup uses the new
/// setup; without a change nothing is made anew.
#[tokio::test]
async fn a_changed_setup_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let dns = SystemDns::of(file.to_str().unwrap());
    assert!(dns.resolver().is_err());
    let write = |dots: usize| std::fs::write(&file, format!("nameserver 127.0.0.1\noptions ndots:{dots}\n")).unwrap();
    write(3);
    assert_eq!(dns.resolver().unwrap().options().ndots, 3);
    write(12);
    assert_eq!(dns.resolver().unwrap().options().ndots, 12);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(dns.resolver().unwrap().options().ndots, 12);
}
