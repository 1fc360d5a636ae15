//! Writing to standard error, standard output and files without waiting for whoever reads them.
//!
//! Each output has one thread, whoever writes to it, and one queue that is bounded in messages and bytes. What finds no room is
//! dropped and counted; when there is room again the thread says in the output itself how much that was. An output that fails (its
//! reader went away, its disk is full) ends nothing: what could not be written is counted, and the next message is tried. The
//! thread ends, once all is written, when nobody has the output any more.
//!
//! Invariants: [`Writer::put`] never waits; [`Writer::put_patiently`] waits only while the output moves; [`flush`] ends in time.
//! It does NOT know how a line looks, except its own.

use parking_lot::Mutex;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Messages that wait for one output at most.
pub const MAX_MESSAGES: usize = 4096;
/// Bytes that wait for one output at most, except that an empty queue takes a message of any size.
pub const MAX_BYTES: usize = 4 << 20;
/// Room in the channel for those who want to know that all is written.
const FLUSHES: usize = 8;
/// An output of which nothing was read for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts at an output that another process has made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// All outputs that there are.
static OUTPUTS: Mutex<Vec<Output>> = Mutex::new(vec![]);

/// An output whose thread may still be at work.
struct Output {
    state: Arc<State>,
    /// None once nobody writes to it any more.
    queue: Weak<Queue>,
}

/// One who writes to an output. Clones write to the same.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    messages: SyncSender<Message>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Message {
    Text(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// What the writers and the thread of an output share.
#[derive(Debug, Default)]
struct State {
    output: String,
    /// Whether its own lines are JSON.
    json: AtomicBool,
    /// What waits, and what is being written.
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Lines that were not written.
    dropped: AtomicU64,
    /// Somebody waited in vain, and nothing was written since.
    stuck: AtomicBool,
    written: Notify,
    /// Its thread has ended.
    ended: AtomicBool,
}

impl State {
    /// A text will not be written.
    fn lose(&self, text: &[u8]) {
        let lines = text.iter().filter(|byte| **byte == b'\n').count().max(1);
        self.dropped.fetch_add(lines as u64, Relaxed);
    }
}

impl Writer {
    /// A writer to `stderr`, `stdout` or the file of this path, which is appended to. Whoever cannot be opened now is tried again with
    /// each message.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn open(output: &str) -> io::Result<Writer> {
        Writer::with(output, None)
    }

    /// The same to what can be opened now, which may take as long as that takes. `json`: what the thread has to say itself is JSON.
    ///
    /// # Errors
    /// The output cannot be opened, or there is no thread to be had.
    pub fn open_now(output: &str, json: bool) -> io::Result<Writer> {
        let writer = Writer::with(output, Some(open(output)?))?;
        writer.0.state.json.store(json, Relaxed);
        Ok(writer)
    }

    fn with(output: &str, file: Option<File>) -> io::Result<Writer> {
        let mut outputs = OUTPUTS.lock();
        outputs.retain(|output| !output.state.ended.load(Acquire));
        let mut same = outputs.iter().filter(|other| other.state.output == output);
        if let Some(queue) = same.find_map(|other| other.queue.upgrade()) {
            return Ok(Writer(queue));
        }
        let state = Arc::new(State { output: output.to_owned(), ..State::default() });
        let (messages, inbox) = sync_channel(MAX_MESSAGES + FLUSHES);
        let sink = Sink { state: state.clone(), file, is_torn: false, is_failing: false, told: 0, why: None, quiet: 0 };
        // A name may hold anything but a zero byte.
        let name = format!("write {}", output.replace('\0', ""));
        std::thread::Builder::new().name(name).spawn(move || sink.run(&inbox))?;
        let queue = Arc::new(Queue { messages, state: state.clone() });
        outputs.push(Output { state, queue: Arc::downgrade(&queue) });
        Ok(Writer(queue))
    }

    /// Hands a text over to be written as a whole. What finds no room is dropped and counted.
    pub fn put(&self, text: Vec<u8>) {
        if let Err(text) = self.admit(text) {
            self.0.state.lose(&text);
        }
    }

    /// The same, but waits for room for as long as the output moves: a slow reader misses nothing, and one that does not read is
    /// waited for once.
    pub async fn put_patiently(&self, mut text: Vec<u8>) {
        let state = &self.0.state;
        loop {
            // It hears of whatever is written from here on.
            let written = state.written.notified();
            text = match self.admit(text) {
                Ok(()) => return,
                Err(text) => text,
            };
            if state.stuck.load(Relaxed) || tokio::time::timeout(PATIENCE, written).await.is_err() {
                state.stuck.store(true, Relaxed);
                return state.lose(&text);
            }
        }
    }

    /// Whether all that was handed over is written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.state.messages.load(Acquire) == 0
    }

    /// Gives back what finds no room.
    fn admit(&self, mut text: Vec<u8>) -> Result<(), Vec<u8>> {
        let (state, size) = (&self.0.state, text.len());
        let (before, bytes) = (state.messages.fetch_add(1, AcqRel), state.bytes.fetch_add(size, AcqRel));
        if before < MAX_MESSAGES && (before == 0 || bytes + size <= MAX_BYTES) {
            text = match self.0.messages.try_send(Message::Text(text)) {
                Err(TrySendError::Full(Message::Text(back)) | TrySendError::Disconnected(Message::Text(back))) => back,
                _ => return Ok(()),
            };
        }
        state.messages.fetch_sub(1, AcqRel);
        state.bytes.fetch_sub(size, AcqRel);
        Err(text)
    }
}

/// Lines that were dropped so far, of each output that there is.
#[must_use]
pub fn dropped() -> Vec<(String, u64)> {
    let outputs = OUTPUTS.lock();
    let live = outputs.iter().filter(|output| output.queue.strong_count() > 0);
    live.map(|output| (output.state.output.clone(), output.state.dropped.load(Relaxed))).collect()
}

/// Waits until all that was handed over to any output is written, but no longer than this. Blocks: it is for the end of the process.
pub fn flush(within: Duration) {
    let deadline = flow::clock::now() + within;
    let left = || deadline.saturating_duration_since(flow::clock::now());
    let (mut answers, mut ending) = (vec![], vec![]);
    for output in OUTPUTS.lock().iter() {
        match output.queue.upgrade() {
            Some(queue) => {
                let (done, answer) = sync_channel(1);
                // If there is no room even for this, others wait for the same already.
                let _ = queue.messages.try_send(Message::Flush(done));
                answers.push(answer);
            }
            None => ending.push(output.state.clone()),
        }
    }
    for answer in answers {
        // Answered or not: more cannot be done.
        let _ = answer.recv_timeout(left());
    }
    while ending.iter().any(|state| !state.ended.load(Acquire)) && !left().is_zero() {
        std::thread::park_timeout(PAUSE);
    }
}

fn open(output: &str) -> io::Result<File> {
    // Files of our own, so that nobody waits for a lock of the standard library while one of them is stuck.
    match output {
        "stderr" => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
        "stdout" => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        path => OpenOptions::new().create(true).append(true).open(path),
    }
}

/// The thread's side of an output.
struct Sink {
    state: Arc<State>,
    /// None until it could be opened.
    file: Option<File>,
    /// It ends in the middle of a text.
    is_torn: bool,
    is_failing: bool,
    /// Of the lines that were dropped, those that it has told of.
    told: u64,
    /// Why the last of the others could not be written; none if it found no room.
    why: Option<io::Error>,
    /// Messages since it last told.
    quiet: usize,
}

impl Sink {
    fn run(mut self, inbox: &Receiver<Message>) {
        for message in inbox {
            match message {
                Message::Text(text) => self.take(&text),
                Message::Flush(done) => {
                    self.tell();
                    // It has room for this; who does not wait any more need not hear it.
                    let _ = done.try_send(());
                }
            }
        }
        self.tell();
        self.state.ended.store(true, Release);
    }

    fn take(&mut self, text: &[u8]) {
        let written = self.write(text);
        let state = self.state.clone();
        let rest = state.messages.fetch_sub(1, AcqRel) - 1;
        state.bytes.fetch_sub(text.len(), AcqRel);
        state.stuck.store(false, Relaxed);
        state.written.notify_waiters();
        self.quiet += 1;
        match written {
            // While it lags behind it tells now and then, not after every line.
            Ok(()) if rest == 0 || self.quiet >= MAX_MESSAGES => self.tell(),
            Ok(()) => {}
            Err(error) => {
                state.lose(text);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(output = state.output, %error, "an output cannot be written; each line is tried");
                }
                self.why = Some(error);
            }
        }
    }

    /// Says how many lines were dropped since it last did.
    fn tell(&mut self) {
        let dropped = self.state.dropped.load(Relaxed);
        if dropped == self.told {
            return;
        }
        let why = self.why.as_ref().map_or("nobody read them".to_owned(), ToString::to_string);
        if self.write(notice(&self.state, dropped - self.told, &why).as_bytes()).is_ok() {
            (self.told, self.why, self.quiet) = (dropped, None, 0);
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(&self.state.output)?);
        }
        if self.is_torn {
            self.write_all(b"\n")?;
        }
        self.write_all(text)?;
        self.is_failing = false;
        Ok(())
    }

    /// Remembers whether it ended in the middle.
    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    rest = &rest[n..];
                    self.is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The thread's own line.
fn notice(state: &State, dropped: u64, why: &str) -> String {
    let mut time = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut format::Writer::new(&mut time));
    let (target, output) = (module_path!(), &state.output);
    let message = format!("{dropped} log lines were dropped: {why}");
    if state.json.load(Relaxed) {
        let line = json!({"timestamp": time, "level": "WARN", "message": message, "dropped": dropped,
            "output": output, "target": target});
        return format!("{line}\n");
    }
    format!("{time}  WARN {target}: {message} dropped={dropped} output={output}\n")
}

#[cfg(test)]
mod tests;
