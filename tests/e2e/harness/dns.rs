//! A DNS server for one test (RFC 1035, over UDP): it answers A questions with a list that changes, all others with nothing.

use parking_lot::Mutex;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What it does with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// There is no such name (NXDOMAIN).
    NoName,
    /// It cannot tell (SERVFAIL).
    Fails,
    /// No answer at all.
    Silent,
}

/// The server, until it is dropped.
pub struct Dns {
    answer: Arc<Mutex<Answer>>,
    task: JoinHandle<()>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// One at port 53 of an address.
    pub async fn start(at: Ipv4Addr, answer: Answer) -> Dns {
        let socket = UdpSocket::bind((at, 53)).await.unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let current = answer.clone();
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = current.lock().clone();
                if let Some(reply) = reply(&question[..length], &answer) {
                    let _ = socket.send_to(&reply, from).await;
                }
            }
        });
        Dns { answer, task }
    }

    /// Changes what is answered from now on.
    pub fn set(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }
}

const A: u16 = 1;

/// The reply to a query with one question; `None` if there is to be none.
fn reply(query: &[u8], answer: &Answer) -> Option<Vec<u8>> {
    // The header is 12 bytes; the name is labels with their length in front, up to an empty one; then type and class.
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let kind = u16::from_be_bytes([*query.get(end + 1)?, *query.get(end + 2)?]);
    let question = query.get(12..end + 5)?;
    let (code, addresses) = match answer {
        Answer::Silent => return None,
        Answer::Fails => (2, &[][..]),
        Answer::NoName => (3, &[][..]),
        Answer::Addresses(list) if kind == A => (0, list.as_slice()),
        Answer::Addresses(_) => (0, &[][..]),
    };
    let mut reply = query[..2].to_vec();
    // A response, authoritative, recursion wanted and available.
    reply.extend([0x85, 0x80 | code]);
    for count in [1, addresses.len() as u16, 0, 0] {
        reply.extend(count.to_be_bytes());
    }
    reply.extend(question);
    for address in addresses {
        // The name of the question, A, IN, a TTL of a second, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
