//! The small HTTP endpoint by which a test asks the sink for its counts and changes how it behaves.
//!
//! `GET /stats` answers the counts as JSON. `POST /behave?mode=ok|fail|stall|throttle` changes all backends, or with `&backend=N`
//! that one, from the next request on; `failure=`, `delay=`, `throttle=`, `partial=` and `fail_every=` change their part.

use super::behaviour::Behaviour;
use super::tally::Tally;
use bytes::Bytes;
use clap::ValueEnum;
use config::duration::GoDuration;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A request of the control endpoint has no body and takes no time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it controls.
pub struct Control {
    /// The counts.
    pub tally: Arc<Tally>,
    /// How each backend behaves.
    pub behaviours: Vec<watch::Sender<Behaviour>>,
}

impl Control {
    /// Serves, one connection after the other, until the task is dropped. Gives the address.
    ///
    /// # Errors
    /// The endpoint cannot be listened on.
    pub async fn listen(self, endpoint: &str, tasks: &mut JoinSet<()>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(endpoint).await?;
        let address = listener.local_addr()?;
        tasks.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let answer = hyper::service::service_fn(|request| {
                    std::future::ready(Ok::<_, Infallible>(self.answer(&request)))
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(connection), answer);
                if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, served).await {
                    tracing::debug!(%error, "a control connection failed");
                }
            }
        });
        Ok(address)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        let (status, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/stats") => (StatusCode::OK, format!("{}\n", self.tally.stats())),
            (&Method::POST, "/behave") => match self.behave(query) {
                Ok(()) => (StatusCode::OK, "{}\n".to_owned()),
                Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")),
            },
            (_, "/stats" | "/behave") => (StatusCode::METHOD_NOT_ALLOWED, "GET /stats, POST /behave\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "there are /stats and /behave\n".to_owned()),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    }

    /// Changes everything, or (on an error) nothing.
    fn behave(&self, query: &str) -> Result<(), String> {
        let pairs =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut which = None;
        let mut changes = vec![];
        for (key, value) in pairs {
            if key == "backend" {
                let number: usize = value.parse().map_err(|_| format!("backend={value}: not a number"))?;
                which = Some(self.behaviours.get(number).ok_or_else(|| format!("there is no backend {number}"))?);
            } else {
                change(&mut Behaviour::default(), key, value)?;
                changes.push((key, value));
            }
        }
        for behaviour in which.map_or(&self.behaviours[..], std::slice::from_ref) {
            behaviour.send_modify(|behaviour| {
                for (key, value) in &changes {
                    // They were tried above.
                    let _ = change(behaviour, key, value);
                }
            });
        }
        Ok(())
    }
}

fn change(behaviour: &mut Behaviour, key: &str, value: &str) -> Result<(), String> {
    let wrong = |why: String| format!("{key}={value}: {why}");
    let time = || value.parse::<GoDuration>().map(|d| d.0).map_err(|e| wrong(e.to_string()));
    let count = || value.parse::<u64>().map_err(|e| wrong(e.to_string()));
    match key {
        "mode" => behaviour.mode = ValueEnum::from_str(value, true).map_err(wrong)?,
        "failure" => behaviour.failure = ValueEnum::from_str(value, true).map_err(wrong)?,
        "delay" => behaviour.delay = time()?,
        "throttle" => behaviour.throttle = time()?,
        "partial" => behaviour.partial = count()?,
        "fail_every" => behaviour.fail_every = count()?,
        _ => return Err(format!("{key}: there are mode, backend, failure, delay, throttle, partial and fail_every")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::behaviour::{Failure, Mode};
    use super::*;

    /// Scenario: changes for all and for one, and wrong ones. Guarantee: what is asked for is changed, and on an error nothing.
    #[test]
    fn behaviour_changes_as_asked() {
        let behaviours: Vec<_> = (0..2).map(|_| watch::Sender::new(Behaviour::default())).collect();
        let tally = Arc::new(Tally::open(2, None).unwrap());
        let control = Control { tally, behaviours };
        control.behave("mode=fail&failure=exhausted&throttle=2s").unwrap();
        control.behave("mode=stall&backend=1&partial=3").unwrap();
        let [first, second] = [0, 1].map(|i| *control.behaviours[i].borrow());
        assert_eq!(
            (first.mode, first.failure, first.throttle, first.partial),
            (Mode::Fail, Failure::Exhausted, Duration::from_secs(2), 0)
        );
        assert_eq!((second.mode, second.partial), (Mode::Stall, 3));
        for wrong in ["mode=ok&delay=5", "mode=gone", "backend=2&mode=ok", "mood=ok"] {
            assert!(control.behave(wrong).is_err(), "{wrong}");
        }
        assert_eq!(control.behaviours[0].borrow().mode, Mode::Fail);
    }
}
