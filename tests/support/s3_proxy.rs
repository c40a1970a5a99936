//! A reverse proxy in front of the S3 server that damages objects but sends matching lengths and statuses, as a
//! broken store, cache or gateway does.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};
use jobs::objects::ObjectStore;
use tokio::net::TcpListener;

use super::{S3, worker_settings};

/// How objects are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    Nothing,
    /// A read returns the first half, with the length of that half.
    CutGets,
    /// A read returns the object with one bit flipped.
    FlipGets,
    /// A write is acknowledged, and only half is stored.
    CutPuts,
}

/// Listens until the test ends.
pub struct S3Proxy {
    mode: Arc<Mutex<Tamper>>,
    bucket: ObjectStore,
}

#[derive(Clone)]
struct Way {
    mode: Arc<Mutex<Tamper>>,
    upstream: String,
    root: std::path::PathBuf,
    client: reqwest::Client,
}

impl S3Proxy {
    pub async fn before(s3: &S3) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(Mutex::new(Tamper::Nothing));
        let way = Way {
            mode: Arc::clone(&mode),
            upstream: s3.server.endpoint.trim_end_matches('/').to_owned(),
            root: s3.root().to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let routes = Router::new().fallback(pass).with_state(way);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let through = ("S3_ENDPOINT", format!("http://{address}"));
        let settings = worker_settings(s3.env().into_iter().chain([through]));
        let bucket = ObjectStore::new(&settings.objects).expect("a bucket");
        Self { mode, bucket }
    }

    /// Damages all further objects in this way.
    pub fn tamper(&self, mode: Tamper) {
        *self.mode.lock().expect("the mode") = mode;
    }

    /// The product's client, connected to this proxy.
    pub fn bucket(&self) -> ObjectStore {
        self.bucket.clone()
    }
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let mode = *way.mode.lock().expect("the mode");
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let target = format!("{}{}", way.upstream, head.uri);
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the request");
    let sent = way
        .client
        .request(head.method.clone(), target)
        // With the original host, which is part of the signature.
        .headers(head.headers)
        .body(body)
        .send()
        .await
        .expect("an answer of the store");
    let (status, headers) = (sent.status(), sent.headers().clone());
    let content = sent.bytes().await.expect("the answer");
    if head.method == Method::PUT && mode == Tamper::CutPuts && status == StatusCode::OK {
        let object = way.root.join(path.trim_start_matches('/'));
        let whole = std::fs::read(&object).expect("the object");
        std::fs::write(&object, &whole[..whole.len() / 2]).expect("half of it");
    }
    let is_read = head.method == Method::GET && status == StatusCode::OK;
    let content = match mode {
        Tamper::CutGets if is_read => content.slice(..content.len() / 2),
        Tamper::FlipGets if is_read => {
            let mut flipped = content.to_vec();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 1;
            Bytes::from(flipped)
        }
        _ => content,
    };
    let mut answer = Response::builder().status(status);
    let keeps_length = head.method == Method::HEAD;
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| keeps_length || **name != header::CONTENT_LENGTH)
    {
        answer = answer.header(name, value);
    }
    answer.body(Body::from(content)).expect("a response")
}
