//! FAL's storage: archives go up, models come down. Nothing here carries the key but the call that starts an upload.
//!
//! Up is two steps (fal.md 3.1): initiate gives a signed URL, PUT fills it. Initiating again is free, and a part may
//! be sent again to its URL; so parts are tried again at once, which mends cut connections. A server that wants to
//! be left alone is left to the queue's backoff.

use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Body, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, RANGE},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Error, FalClient, Result, body, hosts::foreign, json, send, succeeded, wire};
use crate::clients::file::{blocking, chunks, read_at};

/// A file that was downloaded.
#[derive(Debug)]
pub struct Download {
    /// Unlinked, at its end: rewind before reading.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    /// Of its bytes, in hex.
    pub sha256: String,
}

const UPLOAD: &str = "upload";
const ANSWER_LIMIT: usize = 64 << 10;

impl FalClient {
    /// Uploads a file from its start and returns the URL that FAL's runners read it from. Anybody who has that URL can,
    /// until `expires_after` is over. `name` becomes the URL's end, so its extension tells FAL the format.
    pub async fn upload(
        &self,
        file: File,
        bytes: u64,
        content_type: &str,
        name: &str,
        expires_after: Duration,
    ) -> Result<String> {
        let file = Arc::new(file);
        let is_multipart = bytes > self.multipart.above;
        let path = if is_multipart {
            "storage/upload/initiate-multipart"
        } else {
            "storage/upload/initiate"
        };
        let mut url = Self::at(&self.rest_url, path);
        url.query_pairs_mut().append_pair("storage_type", "fal-cdn-v3");
        let lifecycle = json!({
            "expiration_duration_seconds": expires_after.as_secs(),
            "initial_acl": readable(),
        });
        let request = self
            .keyed(Method::POST, url)
            .header("X-Fal-Object-Lifecycle", lifecycle.to_string())
            .json(&wire::Initiate {
                content_type,
                file_name: name,
            });
        let response = succeeded(UPLOAD, send(UPLOAD, request).await?).await?;
        let initiated: wire::Initiated = json(UPLOAD, response, ANSWER_LIMIT).await?;
        let target = self.file_rule.vetted(UPLOAD, &initiated.upload_url)?;
        self.file_rule.vetted(UPLOAD, &initiated.file_url)?;
        if is_multipart {
            self.put_parts(&file, bytes, content_type, &target).await?;
        } else {
            self.put_whole(&file, bytes, content_type, target).await?;
        }
        Ok(initiated.file_url)
    }

    /// Streams the file; memory stays at a chunk or two.
    async fn put_whole(&self, file: &Arc<File>, bytes: u64, content_type: &str, target: Url) -> Result<()> {
        let mut tries = self.multipart.tries;
        loop {
            let put = self
                .files
                .put(target.clone())
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, bytes)
                .body(Body::wrap_stream(chunks(Arc::clone(file), bytes)));
            match keyless(UPLOAD, put).await {
                Ok(_) => return Ok(()),
                Err(error) if tries > 1 && is_worth_another(&error) => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn put_parts(&self, file: &Arc<File>, bytes: u64, content_type: &str, target: &Url) -> Result<()> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < bytes {
            let number = parts.len() as u64 + 1;
            let length = self.multipart.part.min(bytes - at);
            let part = read_at(Arc::clone(file), at, length)
                .await
                .map_err(|source| Error::File { call: UPLOAD, source })?;
            parts.push(self.put_part(part, number, content_type, target).await?);
            at += length;
        }
        let complete = self
            .files
            .post(deeper(target, "complete"))
            .json(&wire::Complete { parts: &parts });
        keyless(UPLOAD, complete).await.map(drop)
    }

    async fn put_part(
        &self,
        part: Bytes,
        number: u64,
        content_type: &str,
        target: &Url,
    ) -> Result<wire::Part> {
        let url = deeper(target, &number.to_string());
        let mut tries = self.multipart.tries;
        loop {
            let put = self
                .files
                .put(url.clone())
                .header(CONTENT_TYPE, content_type)
                .body(part.clone());
            match keyless(UPLOAD, put).await {
                Ok(response) => return receipt(number, response).await,
                Err(error) if tries > 1 && is_worth_another(&error) => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a file is there for FAL's runners: its first byte is asked for by the verb that they use. A HEAD would
    /// prove nothing: the verb is part of what a presigned URL's signature covers, so stores answer 403 to it.
    pub async fn exists(&self, url: &str) -> Result<bool> {
        const CALL: &str = "file check";
        let first_byte = self.archives.get(web_url(CALL, url)?).header(RANGE, "bytes=0-0");
        match keyless(CALL, first_byte).await {
            // Of a server that knows no ranges, the rest of the body is never read.
            Ok(_) => Ok(true),
            // 403 is also what storages answer for a signed URL that has expired, 416 for a file without a first byte.
            Err(
                Error::Missing { .. }
                | Error::Refused {
                    status: 400 | 401 | 403 | 416,
                    ..
                },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Downloads a file of at most `max_bytes` to an unlinked temporary one.
    pub async fn download(&self, url: &str, max_bytes: u64) -> Result<Download> {
        const CALL: &str = "download";
        let mut response = keyless(CALL, self.files.get(self.file_rule.vetted(CALL, url)?)).await?;
        let promised = response.content_length();
        if promised.is_some_and(|bytes| bytes > max_bytes) {
            return Err(Error::TooLarge {
                call: CALL,
                limit: max_bytes,
            });
        }
        let mut sink = Sink {
            file: tempfile::tempfile().map_err(|source| Error::File { call: CALL, source })?,
            hash: Sha256::new(),
        };
        let mut bytes = 0;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Error::unreachable(CALL, &error))?
        {
            bytes += chunk.len() as u64;
            if bytes > max_bytes {
                return Err(Error::TooLarge {
                    call: CALL,
                    limit: max_bytes,
                });
            }
            sink = sink
                .take(chunk)
                .await
                .map_err(|source| Error::File { call: CALL, source })?;
        }
        Ok(Download {
            file: sink.file,
            bytes,
            sha256: hex::encode(sink.hash.finalize()),
        })
    }
}

/// The rule that FAL is given for our files: who has the URL, which nobody can guess, may read. Without it the account's own
/// rule counts, and one that hides files (a new account's may) hides archives from the runners and models from us.
pub(super) fn readable() -> Value {
    json!({"default": "allow"})
}

/// Where a download goes. Disk and hash stay off the async threads.
struct Sink {
    file: File,
    hash: Sha256,
}

impl Sink {
    async fn take(mut self, chunk: Bytes) -> io::Result<Self> {
        blocking(move || {
            self.file.write_all(&chunk)?;
            self.hash.update(&chunk);
            Ok(self)
        })
        .await
    }
}

/// A call without the key: here 401 and 403 speak of the URL and not of our account. What a server of files says in words
/// is read by nobody: it may be a stranger's, and rows and logs are no place for it.
async fn keyless(call: &'static str, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
    let response = request
        .send()
        .await
        .map_err(|error| Error::unreachable(call, &error))?;
    let detail = || "what it says is not kept".to_owned();
    let status = response.status();
    match status {
        status if status.is_success() => Ok(response),
        // One that leads to a host of FAL's was followed.
        status if status.is_redirection() => Err(foreign(call, location(&response).as_ref())),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Error::Missing {
            call,
            detail: detail(),
        }),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
            Err(Error::Server {
                call,
                status: status.as_u16(),
                detail: detail(),
            })
        }
        status if status.is_server_error() => Err(Error::Server {
            call,
            status: status.as_u16(),
            detail: detail(),
        }),
        status => Err(Error::Refused {
            call,
            status: status.as_u16(),
            detail: detail(),
        }),
    }
}

fn location(response: &reqwest::Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

fn is_worth_another(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. } | Error::Server { .. })
}

/// The part's receipt: in the body, or in the header.
async fn receipt(number: u64, response: reqwest::Response) -> Result<wire::Part> {
    let header = response
        .headers()
        .get(ETAG)
        .and_then(|etag| etag.to_str().ok())
        .map(str::to_owned);
    let body = body(UPLOAD, response, ANSWER_LIMIT).await?;
    if let Ok(part) = serde_json::from_slice::<wire::Part>(&body) {
        return Ok(part);
    }
    let etag = header.ok_or_else(|| Error::Garbled {
        call: UPLOAD,
        why: format!("part {number} has no etag"),
    })?;
    Ok(wire::Part { number, etag })
}

/// `{path}/{segment}{query}`: the signature is in the query.
fn deeper(target: &Url, segment: &str) -> Url {
    let mut url = target.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(segment);
    }
    url
}

fn web_url(call: &'static str, text: &str) -> Result<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::Garbled {
            call,
            why: "a URL is not http(s)".to_owned(),
        })
}
