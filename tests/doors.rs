//! The doors: how much strangers can cost us before they are identified. Connections, bodies, log lines, probes.

mod bodies;
mod connections;
mod probes;
mod refusals;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Db, FAL_USER, FalSigner, PATIENCE, Web};

const PATH: &str = "/api/v1/avatar/status_update";
const REQUEST: &str = "764cabcf-b745-4b3e-ae38-1200304cf45b";

/// A role that does not end when told would wait longer than the test has patience.
const ENDLESS_GRACE: (&str, &str) = ("AISHA__QUEUE__GRACE", "1h");

async fn web(db: &Db, signer: &FalSigner, variables: &[(&str, &str)]) -> Web {
    let fal = [
        ("FAL_JWKS_URL", signer.jwks_url()),
        ("FAL_WEBHOOK_USER_ID", FAL_USER),
    ];
    Web::start(db, &[&fal[..], variables].concat()).await
}

/// Opens a connection and writes `bytes` at once.
async fn knock(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // The server may have closed it already; the test will find out.
    let _ = stream.write_all(bytes).await;
    stream
}

/// Waits until the other side closes the connection; returns what it sent until then.
async fn closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset counts as an end.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .expect("it is never closed");
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits for the first bytes of an answer.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut said))
        .await
        .expect("there is no answer");
    said.truncate(read.expect("a connection that lasts"));
    String::from_utf8_lossy(&said).into_owned()
}

/// The head of a POST whose headers look genuine without FAL's key.
fn plausible_head(address: &str, content_length: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let signature = "ab".repeat(64);
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {content_length}\r\n\
         X-Fal-Webhook-Request-Id: {REQUEST}\r\nX-Fal-Webhook-User-Id: {FAL_USER}\r\n\
         X-Fal-Webhook-Timestamp: {now}\r\nX-Fal-Webhook-Signature: {signature}\r\n\r\n"
    )
}

/// How long a GET takes on a new connection.
async fn time_of_a_probe(address: &str, path: &str) -> Duration {
    let begun = Instant::now();
    let mut stream = knock(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
    )
    .await;
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{path}: {said}");
    begun.elapsed()
}

/// The value of a metric, summed over its labels.
async fn metric(address: &str, name: &str) -> u64 {
    let text = reqwest::get(format!("http://{address}/metrics"))
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|value| format!("{value:.0}").parse::<u64>().expect("a count"))
        .sum()
}

/// The test process itself must be able to hold a thousand connections.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("a higher limit");
}
