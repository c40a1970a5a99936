//! A Bot API call as it came over the wire, decoded.
//!
//! The real server has only one kind of parameter: text. Query strings, forms, multipart fields and the
//! members of a JSON body all become text, and nested objects are parsed when a method asks for them. The
//! simulator does the same, so a client that works with one encoding works with the others.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::refusal::{Known, Refusal};

/// The largest body that the public server reads; a larger one is answered 413.
const MAX_REQUEST: usize = 50 << 20;

#[derive(Debug, Default)]
pub(super) struct Call {
    /// The method as the client wrote it; compared without case.
    pub method: String,
    args: BTreeMap<String, String>,
    files: BTreeMap<String, Upload>,
}

#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub name: String,
    pub mime: Option<String>,
    pub bytes: Bytes,
}

/// The file that a parameter refers to.
pub(super) enum FileArg<'a> {
    Uploaded(&'a Upload),
    /// A `file_id`, or a URL, which this simulator never fetches.
    Named(&'a str),
}

impl Call {
    /// A call whose parameters could not be read.
    pub fn unread(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            ..Self::default()
        }
    }

    pub async fn decode(method: &str, request: Request) -> Result<Self, Refusal> {
        let mut call = Self::unread(method);
        let (parts, body) = request.into_parts();
        call.add_form(parts.uri.query().unwrap_or_default().as_bytes());
        let bytes = read(body).await?;
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if content_type.starts_with("application/json") {
            call.add_json(&bytes)?;
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            call.add_form(&bytes);
        } else if content_type.starts_with("multipart/form-data") {
            call.add_multipart(Request::from_parts(parts, Body::from(bytes)))
                .await?;
        }
        Ok(call)
    }

    /// A call that the webhook's receiver put into its answer, `{"method": …, …}`; `None` if the answer is
    /// anything else.
    pub fn from_webhook_answer(body: &[u8]) -> Option<Self> {
        let mut call = Self::default();
        call.add_json(body).ok()?;
        call.method = call.args.remove("method")?;
        Some(call)
    }

    fn add_form(&mut self, form: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(form) {
            self.args.insert(name.into_owned(), value.into_owned());
        }
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), Refusal> {
        if body.is_empty() {
            return Ok(());
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(Refusal::bad_request("can't parse request JSON object"));
        };
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::String(text) => drop(self.args.insert(name, text)),
                other => drop(self.args.insert(name, other.to_string())),
            }
        }
        Ok(())
    }

    async fn add_multipart(&mut self, request: Request) -> Result<(), Refusal> {
        let broken = |_| Refusal::bad_request("can't parse multipart content");
        let mut parts = Multipart::from_request(request, &())
            .await
            .map_err(|_| Refusal::bad_request("boundary is not specified"))?;
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            let mime = part.content_type().map(ToOwned::to_owned);
            let file_name = part.file_name().map(ToOwned::to_owned);
            let bytes = part.bytes().await.map_err(|error| match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Known::RequestEntityTooLarge.into(),
                _ => broken(error),
            })?;
            if let Some(file_name) = file_name {
                let upload = Upload {
                    name: file_name,
                    mime,
                    bytes,
                };
                self.files.insert(name, upload);
            } else {
                // Of two fields with one name the real server reads the first.
                let value = String::from_utf8_lossy(&bytes).into_owned();
                self.args.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    /// Empty when the parameter is missing: the real server does not tell the two apart.
    pub fn text(&self, name: &str) -> &str {
        self.args.get(name).map_or("", String::as_str)
    }

    /// Zero when the parameter is missing or not a number.
    pub fn integer(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or_default()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(
            self.text(name).to_ascii_lowercase().as_str(),
            "true" | "yes" | "1"
        )
    }

    pub fn chat_id(&self) -> Option<i64> {
        self.text("chat_id").parse().ok()
    }

    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        match self.text(name) {
            "" => Err(Refusal::bad_request(format!("Parameter \"{name}\" is required"))),
            text => Ok(text),
        }
    }

    /// A file parameter: `attach://part`, a `file_id` or URL, or the uploaded part with the parameter's name.
    pub fn file(&self, name: &str) -> Option<FileArg<'_>> {
        self.file_named(name, self.text(name))
    }

    /// Like [`file`](Self::file), for a file in a nested object (`InputMediaPhoto.media`).
    pub fn file_named<'a>(&'a self, part: &str, value: &'a str) -> Option<FileArg<'a>> {
        match value.strip_prefix("attach://") {
            Some(attached) => self.files.get(attached).map(FileArg::Uploaded),
            None if value.is_empty() => self.files.get(part).map(FileArg::Uploaded),
            None => Some(FileArg::Named(value)),
        }
    }

    /// The parameters for the ledger, with each file as its name, size and hash.
    pub fn to_json(&self) -> Value {
        let mut all: Map<String, Value> = self
            .args
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        for (name, file) in &self.files {
            let sha256 = hex::encode(Sha256::digest(&file.bytes));
            let mime = &file.mime;
            all.insert(
                name.clone(),
                json!({ "file_name": file.name, "mime_type": mime, "size": file.bytes.len(), "sha256": sha256 }),
            );
        }
        Value::Object(all)
    }
}

/// Reads the whole body. A body that is too large is still read to its end, else the sending client would
/// meet a closed connection instead of the answer.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut size) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::bad_request("the request ended early"))?;
        size += chunk.len();
        if size <= MAX_REQUEST {
            bytes.extend_from_slice(&chunk);
        } else {
            bytes = Vec::new();
        }
    }
    if size <= MAX_REQUEST {
        Ok(bytes.into())
    } else {
        Err(Known::RequestEntityTooLarge.into())
    }
}
