//! The FAL simulator over HTTP, as any client sees it.
//! `tests/official_clients/run` tests it with the official clients.

use std::io::{Cursor, Write as _};
use std::time::Duration;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use aisha::simulators::fal::ledger::{Entry, Event};
use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig, Running};
use image::{ImageFormat, RgbImage};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

mod access;
mod archives;
mod control;
mod entries;
mod faults;
mod memory;
mod pictures;
mod platform;
mod queue;
mod schemas;
mod storage;
mod webhooks;

const PORTRAIT: &str = "fal-ai/flux-lora-portrait-trainer";
const FAST: &str = "fal-ai/flux-lora-fast-training";
const TURBO: &str = "fal-ai/turbo-flux-trainer";
const STYLE: &str = "fal-ai/flux-pro-trainer";
const PICTURE: &str = "fal-ai/flux-lora";
const FINETUNED: &str = "fal-ai/flux-pro/v1.1-ultra-finetuned";
const KEY: &str = "Key id:secret";

/// A simulator of one's own, and a plain HTTP client.
struct Fal {
    sim: Running,
    http: Client,
}

impl Fal {
    async fn start() -> Self {
        Self::with(FalSimulatorConfig::default()).await
    }

    /// Requests take a tenth of a second, and FAL's seconds are milliseconds.
    async fn with(config: FalSimulatorConfig) -> Self {
        let quick = FalSimulatorConfig {
            request_duration: Duration::from_millis(100),
            time_scale: 0.001,
            ..config
        };
        let sim = FalSimulator::start(quick).await.expect("the simulator starts");
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { sim, http }
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/{path}", self.sim.url())
        }
    }

    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, self.url(path))
            .header("authorization", KEY)
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.ask(Method::POST, path).json(body).send().await.unwrap()
    }

    /// Submits a request. Returns the answer's body.
    async fn submit(&self, endpoint: &str, input: &Value) -> Value {
        let answer = self.post(&format!("queue/{endpoint}"), input).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Submits, waits for the end, and returns status and body of the result.
    async fn result(&self, endpoint: &str, input: &Value) -> (StatusCode, Value) {
        let submitted = self.submit(endpoint, input).await;
        self.ended(&submitted).await;
        self.result_of(&submitted).await
    }

    async fn result_of(&self, submitted: &Value) -> (StatusCode, Value) {
        let answer = self.get(submitted["response_url"].as_str().unwrap()).await;
        (answer.status(), answer.json().await.unwrap())
    }

    /// Field and `type` of each problem that the model finds with the input.
    async fn problems(&self, endpoint: &str, input: &Value) -> Vec<(String, String)> {
        let (status, body) = self.result(endpoint, input).await;
        assert_eq!(status, 422, "{endpoint} takes {input}: {body}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let detail = body["detail"].as_array().unwrap();
        detail
            .iter()
            .map(|problem| (text(&problem["loc"][1]), text(&problem["type"])))
            .collect()
    }

    async fn status_of(&self, submitted: &Value) -> (StatusCode, Value) {
        let url = format!("{}?logs=1", submitted["status_url"].as_str().unwrap());
        let answer = self.get(&url).await;
        (answer.status(), answer.json().await.unwrap())
    }

    /// Waits until the request has ended.
    async fn ended(&self, submitted: &Value) {
        let ended = |entry: &Entry| match &entry.event {
            Event::RunEnded { request_id, .. } => submitted["request_id"] == request_id.to_string(),
            _ => false,
        };
        self.wait_for("the end of the run", ended).await;
    }

    async fn wait_for(&self, what: &str, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let look = |entries: &[Entry]| entries.iter().find(|entry| wanted(entry)).cloned();
        self.sim.wait_for(what, look).await.unwrap()
    }

    /// The events so far for which `pick` returns something.
    fn events<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.sim
            .ledger()
            .iter()
            .filter_map(|entry| pick(&entry.event))
            .collect()
    }

    fn submissions(&self) -> usize {
        self.events(|event| matches!(event, Event::Submitted { .. }).then_some(()))
            .len()
    }

    /// Uploads a file in two steps and returns its URL.
    async fn upload(&self, name: &str, content_type: &str, bytes: Vec<u8>) -> String {
        let announced = json!({ "file_name": name, "content_type": content_type });
        let initiate = "rest/storage/upload/initiate?storage_type=fal-cdn-v3";
        let urls: Value = self.post(initiate, &announced).await.json().await.unwrap();
        let put = self.http.put(urls["upload_url"].as_str().unwrap());
        let answer = put
            .header("content-type", content_type)
            .body(bytes)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        urls["file_url"].as_str().unwrap().to_owned()
    }

    /// The URL of an archive with this many photos.
    async fn archive(&self, photos: usize) -> String {
        self.upload("photos.zip", "application/zip", archive(photos))
            .await
    }

    /// Changes the account or the simulator while it runs.
    async fn settings(&self, changes: &Value) {
        assert_eq!(self.post("__sim/settings", changes).await.status(), 200);
    }

    /// Scripts a fault that strikes once, at the next match.
    fn fault(&self, on: Operation, effect: Effect) {
        self.sim
            .script(Fault::new(on, effect))
            .expect("the fault makes sense");
    }

    async fn bytes(&self, url: &str) -> Vec<u8> {
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .to_vec()
    }
}

/// An input that makes a picture.
fn prompt() -> Value {
    json!({ "prompt": "п" })
}

/// A small photo.
fn photo(format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let gradient = |x: u32, y: u32| image::Rgb([x, y, x ^ y].map(|n| u8::try_from(n % 256).unwrap()));
    RgbImage::from_fn(96, 64, gradient)
        .write_to(&mut file, format)
        .unwrap();
    file.into_inner()
}

/// A ZIP of these entries, stored.
fn zip<'a>(entries: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip_with(options, entries)
}

fn zip_with<'a>(
    options: SimpleFileOptions,
    entries: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(name, options).unwrap();
        zip.write_all(&content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn archive(photos: usize) -> Vec<u8> {
    let names: Vec<_> = (1..=photos)
        .map(|number| format!("photo_{number:03}.jpg"))
        .collect();
    zip(names.iter().map(|name| (name.as_str(), photo(ImageFormat::Jpeg))))
}

/// Header, and size of the data, of a safetensors file. Panics if it is none.
fn safetensors(file: &[u8]) -> (Value, usize) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap())
        .try_into()
        .unwrap();
    let (header, data) = file[8..].split_at(length);
    (serde_json::from_slice(header).unwrap(), data.len())
}
