//! A TCP server that answers each connection with prepared bytes, and records what it received.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::support::eventually;

/// How the server treats a connection.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Read the whole request, answer these bytes, close.
    Answer(String),
    /// Read the whole request and close.
    CloseAfterRequest,
    /// Close after the first byte of the request.
    CloseWithinRequest,
    /// Read until the other side closes; never answer.
    Silence,
}

/// The record of one connection.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// All bytes that were received.
    pub text: String,
    /// Whether either side has closed it.
    pub ended: bool,
}

/// The server; it ends with the test.
pub struct Wire {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<Notify>,
}

impl Wire {
    /// Each connection is treated in the next manner; the last one is used for all further connections.
    pub async fn start(manners: impl Into<Vec<Manner>>) -> Self {
        let manners: Vec<Manner> = manners.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(Notify::new());
        let (all, stopped) = (Arc::clone(&heard), Arc::clone(&stop));
        tokio::spawn(async move {
            let serving = async {
                for number in 0.. {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    all.lock().unwrap().push(Heard::default());
                    let manner = manners[number.min(manners.len() - 1)].clone();
                    tokio::spawn(serve(stream, manner, Arc::clone(&all), number));
                }
            };
            tokio::select! { () = serving => {}, () = stopped.notified() => {} }
        });
        Self { address, heard, stop }
    }

    /// Treats all connections in one manner.
    pub async fn answering(status: &str, headers: &str, body: &str) -> Self {
        Self::start([Manner::Answer(answer(status, headers, body))]).await
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The records so far, one per connection.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until `count` connections have ended.
    pub async fn ended(&self, count: usize) -> Vec<Heard> {
        eventually("the connections have ended", async || {
            let heard = self.heard();
            (heard.iter().filter(|heard| heard.ended).count() >= count).then_some(heard)
        })
        .await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// A complete HTTP answer. `status` is e.g. `200 OK`; each line of `headers` ends with CRLF.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

async fn serve(mut stream: TcpStream, manner: Manner, all: Arc<Mutex<Vec<Heard>>>, number: usize) {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let is_whole = {
            let heard = &mut all.lock().unwrap()[number];
            heard.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            is_whole_request(&heard.text)
        };
        let is_done = match manner {
            Manner::Answer(_) | Manner::CloseAfterRequest => is_whole,
            Manner::CloseWithinRequest => true,
            Manner::Silence => false,
        };
        if read == 0 || is_done {
            break;
        }
    }
    if let Manner::Answer(answer) = manner {
        // The other side may have gone already; its reaction is the subject of the test.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
    drop(stream);
    all.lock().unwrap()[number].ended = true;
}

fn is_whole_request(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.map_or(0, |(_, value)| value.parse().expect("a length"))
}
