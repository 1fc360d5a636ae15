use super::super::letters::tests::{boxed, bury};
use super::letters::{Query, Selection};
use super::*;
use flow::{Kind, Stopper};
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The same letters whatever the directory.
struct Fixed(Vec<Boxed>);

impl LetterBoxes for Fixed {
    fn boxes(&self, _: &Path) -> Vec<Boxed> {
        self.0.clone()
    }
}

fn list() -> Request {
    Request::List(Query { limit: 10, ..Query::default() })
}

/// Scenario: a process is asked, changes its mind, and ends. Guarantee: it answers as long as it runs, only its user may connect, and
/// afterwards nobody answers and no socket is left; a socket left over from a crash is in nobody's way.
#[tokio::test]
async fn a_process_answers_for_its_letters() {
    let root = tempfile::tempdir().unwrap();
    bury(&root.path().join("q"), &[("a", Kind::BadData), ("b", Kind::Expired)]);
    assert!(matches!(ask(root.path(), &list()).await, Err(AskError::Nobody)));
    drop(std::os::unix::net::UnixListener::bind(path(root.path())).unwrap());
    assert!(matches!(ask(root.path(), &list()).await, Err(AskError::Nobody)), "left over");

    let control = Control::bind(root.path()).unwrap();
    assert_eq!(std::fs::metadata(path(root.path())).unwrap().permissions().mode() & 0o777, 0o600);
    let (stopper, stop) = Stopper::new();
    let boxes = Arc::new(Fixed(vec![boxed(&root.path().join("q"), "otlp")]));
    let task = tokio::spawn(Arc::new(control).serve(boxes, stop));
    let Answer::Letters(rows) = ask(root.path(), &list()).await.unwrap() else { panic!() };
    assert_eq!(rows.len(), 2);
    let all = Request::Discard(Selection::All(Query::default()));
    let Answer::Done(counts) = ask(root.path(), &all).await.unwrap() else { panic!() };
    assert_eq!(counts.letters, 2);
    assert_eq!(ask(root.path(), &list()).await.unwrap(), Answer::Letters(vec![]));
    stopper.stop(Duration::ZERO);
    task.await.unwrap();
    assert!(!path(root.path()).exists());
    assert!(matches!(ask(root.path(), &list()).await, Err(AskError::Nobody)));
}

/// Scenario: nonsense, another path, a body beyond the bound. Guarantee: each is refused, and the next question is answered.
#[tokio::test]
async fn nonsense_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let control = Control::bind(root.path()).unwrap();
    let (_stopper, stop) = Stopper::new();
    tokio::spawn(Arc::new(control).serve(Arc::new(Fixed(vec![])), stop));
    let large = "x".repeat(MAX_REQUEST + 1);
    for (line, body, status) in [
        ("POST /dlq", "nonsense", "400"),
        ("POST /dlq", "{\"explode\":{}}", "400"),
        ("POST /dlq", large.as_str(), "400"),
        ("GET /dlq", "", "404"),
        ("POST /other", "", "404"),
    ] {
        let mut stream = UnixStream::connect(path(root.path())).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // What is too large may be refused before it is read.
        let _ = stream.write_all(body.as_bytes()).await;
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").into_bytes(), "{line}");
    }
    assert_eq!(ask(root.path(), &list()).await.unwrap(), Answer::Letters(vec![]));
}
