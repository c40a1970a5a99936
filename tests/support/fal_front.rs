//! An HTTP server in front of the FAL simulator: it answers one kind of call with prepared bytes and passes on all
//! others. The client under test sends and receives what it would with FAL.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, Method, StatusCode},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The base URL of FAL in the recorded answers.
const RECORDED_AT: &str = "http://127.0.0.1:9800";

/// One kind of call to FAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Submit,
    Status,
    Result,
    List,
    Cancel,
    Initiate,
    Put,
}

impl Place {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let has = |part: &str| path.contains(part);
        Some(match method.as_str() {
            "POST" if has("/storage/upload/initiate") => Self::Initiate,
            "PUT" if has("/cdn/signed/") => Self::Put,
            "PUT" if path.ends_with("/cancel") => Self::Cancel,
            "GET" if has("/requests/by-endpoint") => Self::List,
            "GET" if has("/queue/") && path.ends_with("/status") => Self::Status,
            "GET" if has("/queue/") => Self::Result,
            "POST" if has("/queue/") => Self::Submit,
            _ => return None,
        })
    }
}

/// A recorded answer: status line, headers, an empty line, the body.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Recorded {
    /// Reads `tests/cases/fal/<name>.http`.
    pub fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.http"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("an empty line");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().expect("a number"),
            headers: headers
                .filter(|(name, _)| !matches!(*name, "content-length" | "connection"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The answer with `base` as FAL's URL.
    fn at(&self, base: &str) -> Self {
        let headers = self.headers.iter();
        let (mut body, mut rest) = (Vec::new(), self.body.as_slice());
        // Byte by byte: some bodies are not UTF-8.
        while let Some(first) = rest.first() {
            if let Some(behind) = rest.strip_prefix(RECORDED_AT.as_bytes()) {
                body.extend(base.as_bytes());
                rest = behind;
            } else {
                body.push(*first);
                rest = &rest[1..];
            }
        }
        Self {
            status: self.status,
            headers: headers
                .map(|(name, value)| (name.clone(), value.replace(RECORDED_AT, base)))
                .collect(),
            body,
        }
    }
}

/// The folder of the recorded answers.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/fal")
}

#[derive(Default)]
struct Inner {
    simulator: OnceLock<String>,
    base: OnceLock<String>,
    exchanged: Mutex<HashMap<Place, (Recorded, usize)>>,
    asked: Mutex<HashMap<Place, usize>>,
    model: Mutex<Vec<u8>>,
}

/// The server; stops with the test.
pub struct FalFront {
    address: SocketAddr,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

impl FalFront {
    /// Starts in front of a simulator that is named later.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner::default());
        inner.base.set(format!("http://{address}")).expect("the first");
        *inner.model.lock().unwrap() = smallest_model();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self {
            address,
            inner,
            server,
        }
    }

    /// Passes all other calls on to this simulator.
    pub fn pass_on_to(&self, simulator: &str) {
        self.inner.simulator.set(simulator.to_owned()).expect("the first");
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives this answer to the next `times` calls of this kind.
    pub fn exchange(&self, place: Place, answer: &Recorded, times: usize) {
        let answer = answer.at(&self.base());
        self.inner
            .exchanged
            .lock()
            .unwrap()
            .insert(place, (answer, times));
    }

    /// How many calls of this kind were made.
    pub fn asked(&self, place: Place) -> usize {
        self.inner
            .asked
            .lock()
            .unwrap()
            .get(&place)
            .copied()
            .unwrap_or_default()
    }

    /// The body of the recorded answer, as this server sends it.
    pub fn body_of(&self, answer: &Recorded) -> Vec<u8> {
        answer.at(&self.base()).body
    }
}

impl Drop for FalFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A complete safetensors file of 70 bytes, the size that the recorded results name.
fn smallest_model() -> Vec<u8> {
    let header = format!(
        "{:<58}",
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend([0; 4]);
    assert_eq!(file.len(), 70);
    file
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let place = Place::of(request.method(), request.uri().path());
    // Read the whole request before answering: a client that is answered while it still sends may see a broken
    // connection.
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let request = Request::from_parts(parts, Body::from(body));
    if let Some(place) = place {
        *inner.asked.lock().unwrap().entry(place).or_default() += 1;
        if let Some(answer) = due(&inner, place) {
            return respond(answer.status, &answer.headers, answer.body);
        }
    }
    if request.uri().path().ends_with("/model.safetensors") {
        let model = inner.model.lock().unwrap().clone();
        return respond(200, &[], model);
    }
    pass_on(&inner, request).await
}

fn due(inner: &Inner, place: Place) -> Option<Recorded> {
    let mut exchanged = inner.exchanged.lock().unwrap();
    let (answer, times) = exchanged.get_mut(&place)?;
    *times = times.checked_sub(1)?;
    Some(answer.clone())
}

fn respond(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("an answer")
}

async fn pass_on(inner: &Inner, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let simulator = inner.simulator.get().expect("a simulator");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // Keep the Host of the request: the simulator builds its URLs from it.
    let passed = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .request(parts.method, format!("{simulator}{path}"))
        .headers(parts.headers)
        .body(body)
        .send()
        .await;
    let Ok(answer) = passed else {
        return respond(StatusCode::BAD_GATEWAY.as_u16(), &[], Vec::new());
    };
    let hop = |name: &HeaderName| {
        matches!(
            name.as_str(),
            "connection" | "transfer-encoding" | "content-length"
        )
    };
    let headers: Vec<_> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !hop(name))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap_or_default().to_vec();
    respond(status, &headers, body)
}
