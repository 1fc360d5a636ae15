//! Connections: made when they are needed, kept while they are good; a time for everything; a question that is ended is cancelled.
//!
//! Invariants: nothing waits longer than [`Pool::patience`]; a connection on which anything was left half done is dropped, never used again.

use crate::config::Config;
use crate::failure::Failure;
use crate::tls::Tls;
use parking_lot::Mutex;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use store::Until;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

/// Idle connections for questions that are kept.
const MOST_IDLE: usize = 8;
/// How often an asker is asked whether it has gone.
const LOOK: Duration = Duration::from_millis(25);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Pool {
    runtime: Option<Runtime>,
    target: tokio_postgres::Config,
    tls: Tls,
    idle: Mutex<Vec<Client>>,
    /// How long one piece of work with the server may take, beyond what the server itself allows a statement.
    pub patience: Duration,
}

impl Pool {
    /// One that has no connection yet.
    pub fn new(config: &Config) -> io::Result<Pool> {
        let mut target = config.target().map_err(io::Error::other)?;
        let tls = Tls::new(&config.tls);
        let mode = tls.mode(target.get_hosts());
        let milliseconds = config.statement_timeout.as_millis();
        let ours = format!(
            "-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds} -c timezone=UTC"
        );
        let options = target.get_options().map_or(ours.clone(), |theirs| format!("{theirs} {ours}"));
        target
            .options(&options)
            .application_name("bywash")
            .ssl_mode(mode)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(config.statement_timeout + CONNECT_TIMEOUT);
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build()?;
        let patience = config.statement_timeout + CONNECT_TIMEOUT;
        Ok(Pool { runtime: Some(runtime), target, tls, idle: Mutex::default(), patience })
    }

    /// Waits for something, on a thread that may wait.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some(runtime) = &self.runtime else { return Err(Failure::Gone("the store is closed".to_owned())) };
        runtime.block_on(async { tokio::time::timeout(self.patience, work).await.unwrap_or(Err(Failure::Late)) })
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let (client, connection) = self.target.connect(self.tls.clone()).await?;
        // It ends with its client, or when the server goes; what was asked on it hears of that.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        // A commit that is answered has to be on the disk, whatever the database was set to.
        let text =
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
        client.query(text, &[]).await?;
        Ok(client)
    }

    /// Asks on an idle connection or a new one. An idle one that turns out to be gone is replaced once.
    pub fn ask<T>(&self, until: Until<'_>, work: impl AsyncFn(&Client) -> Result<T, Failure>) -> Result<T, Failure> {
        self.wait(async {
            loop {
                let idle = self.idle.lock().pop().filter(|client| !client.is_closed());
                let was_idle = idle.is_some();
                let client = match idle {
                    Some(client) => client,
                    None => self.connect().await?,
                };
                match self.or_cancel(&client, until, work(&client)).await {
                    Err(Failure::Gone(_)) if was_idle => {}
                    done => {
                        self.keep(client, &done);
                        return done;
                    }
                }
            }
        })
    }

    fn keep<T>(&self, client: Client, done: &Result<T, Failure>) {
        let mut idle = self.idle.lock();
        if done.as_ref().err().is_none_or(|failure| !failure.spoils()) && idle.len() < MOST_IDLE {
            idle.push(client);
        }
    }

    async fn or_cancel<T>(
        &self,
        client: &Client,
        until: Until<'_>,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if until() {
            return Err(Failure::Ended);
        }
        let mut work = pin!(work);
        let token = client.cancel_token();
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK) => {}
            }
            if until() {
                // It ends by its own time if this is not heard.
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, token.cancel_query(self.tls.clone())).await;
                return Err(Failure::Ended);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.idle.lock().clear();
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped on a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}
