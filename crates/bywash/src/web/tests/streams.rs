use super::*;
use crate::web::MOST_STREAMS;

/// The next text of a stream; none at its end.
async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap_or_default().to_vec()).unwrap())
}

/// The next event that is no comment: its name and data.
async fn event(body: &mut Body) -> Option<(String, Value)> {
    loop {
        let text = next(body).await?;
        if !text.starts_with(':') {
            let (name, data) = text.strip_prefix("event: ")?.split_once("\ndata: ")?;
            return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
        }
    }
}

/// Scenario: two tenants' records come while somebody follows one of them by a word. Guarantee: what matches is seen, and no other's; the
/// answer says what it is.
#[tokio::test]
async fn records_are_seen_as_they_come() {
    let stand = Stand::new(true);
    let alpha = [("authorization", "Bearer alpha")];
    let answer = stand.ask(Method::GET, "/api/tail?q=hello", &alpha, "").await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    assert_eq!(next(&mut body).await.unwrap(), ": hello\n\n");
    stand.keep("default", Signal::Logs, &logs("hello of another"));
    stand.keep("acme", Signal::Logs, &logs("something else"));
    stand.keep("acme", Signal::Logs, &logs("hello of acme"));
    let (name, data) = event(&mut body).await.unwrap();
    assert_eq!((name.as_str(), data["rows"].as_array().unwrap().len()), ("rows", 1));
    assert_eq!(data["rows"][0]["body"], "hello of acme");
    let id = data["rows"][0]["id"].as_str().unwrap();
    let (status, _) = stand.get(&format!("/api/logs/around?id={id}"), &alpha).await;
    assert_eq!(status, 200, "a row that was seen is found again");
}

/// Scenario: a reader takes nothing while thousands of records come. Guarantee: all are stored without it, and it is told how many it missed.
#[tokio::test]
async fn a_reader_that_stalls_holds_up_nobody() {
    let stand = Stand::new(false);
    let mut body = stand.ask(Method::GET, "/api/tail", &[], "").await.into_body();
    next(&mut body).await.unwrap();
    for first in (0..3000).step_by(50) {
        stand.keep("default", Signal::Logs, &many((first..first + 50).map(|n| format!("n{n}"))));
    }
    assert_eq!(stand.store().store().stats().records, 3000);
    let (name, missed) = event(&mut body).await.unwrap();
    assert_eq!((name.as_str(), &missed["records"]), ("missed", &1000.into()));
    let mut seen = 0;
    while seen < 2000 {
        let (name, data) = event(&mut body).await.unwrap();
        assert_eq!(name, "rows");
        seen += data["rows"].as_array().unwrap().len();
    }
}

/// Scenario: a hundred follow, and then one goes. Guarantee: as many are let in as there may be, the others are told to come back, and the
/// one that went makes room; who asks is answered all the while.
#[tokio::test]
async fn streams_are_bounded() {
    let stand = Stand::new(false);
    let mut streams = vec![];
    for number in 0..100 {
        let answer = stand.ask(Method::GET, "/api/tail", &[], "").await;
        if number < MOST_STREAMS {
            assert_eq!(answer.status(), 200, "{number}");
            streams.push(answer);
        } else {
            assert_eq!(answer.status(), 429, "{number}");
            assert!(answer.headers().contains_key("retry-after"));
        }
    }
    assert_eq!(stand.get("/api/logs", &[]).await.0, 200);
    drop(streams.pop());
    assert_eq!(stand.ask(Method::GET, "/api/pipeline/live", &[], "").await.status(), 200);
}

/// Scenario: the pipeline is followed, and a tail; then the server stops. Guarantee: a state each second; the streams end.
#[tokio::test(start_paused = true)]
async fn streams_end_with_the_server() {
    let stand = Stand::new(false);
    let mut live = stand.ask(Method::GET, "/api/pipeline/live", &[], "").await.into_body();
    let mut tail = stand.ask(Method::GET, "/api/tail", &[], "").await.into_body();
    for _ in 0..2 {
        let (name, state) = event(&mut live).await.unwrap();
        assert_eq!((name.as_str(), &state["pipelines"][0]["id"]), ("state", &"logs".into()));
    }
    assert_eq!(next(&mut tail).await.unwrap(), ": hello\n\n");
    assert_eq!(next(&mut tail).await.unwrap(), ": beat\n\n");
    stand.stopper.stop(Duration::ZERO);
    assert!(next(&mut live).await.is_none() && next(&mut tail).await.is_none());
}

/// Scenario: more records than a piece holds, as rows and as OTLP, with a limit, and the store closed in between. Guarantee: all of them,
/// once, the newest first; the trailer says that it is whole; a file that cannot be made whole breaks.
#[tokio::test]
async fn everything_can_be_exported() {
    let stand = Stand::new(false);
    for first in (0..1203).step_by(100) {
        stand.keep("default", Signal::Logs, &many((first..1203.min(first + 100)).map(|n| format!("n{n}"))));
    }
    for (path, lines) in [("/api/export?q=service:cart", 1203), ("/api/export?limit=7", 7)] {
        let answer = stand.ask(Method::GET, path, &[], "").await;
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"bywash-logs.jsonl\"");
        let (mut body, mut text, mut trailer) = (answer.into_body(), String::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
                Err(frame) => trailer = frame.into_trailers().ok(),
            }
        }
        let bodies: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = (0..1203).rev().take(lines).map(|n| format!("n{n}")).collect();
        assert_eq!(bodies, expected);
        assert_eq!(trailer.unwrap()["x-complete"], "true");
    }
    let mut otlp = stand.ask(Method::GET, "/api/export?format=otlp", &[], "").await.into_body();
    let first: Value = serde_json::from_str(&next(&mut otlp).await.unwrap()).unwrap();
    assert_eq!(first["resourceLogs"].as_array().unwrap().len(), 500);
    let Stand { exporter, .. } = stand;
    drop(exporter);
    while let Some(frame) = otlp.frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("a file of a store that was closed looks whole");
}
