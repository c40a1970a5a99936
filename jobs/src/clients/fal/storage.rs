//! FAL's storage: uploads archives and downloads models. Only the call that starts an upload carries the key.
//!
//! An upload takes two steps (fal.md 3.1): "initiate" returns a signed URL, and PUT sends the bytes there. Initiating
//! again is free, and a part may be sent to its URL again; so parts are retried at once, which repairs cut
//! connections. A server that asks us to wait is left to the queue's backoff.

use std::{fs::File, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Body, Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, RANGE},
};
use serde_json::{Value, json};
use url::Url;

use super::{Call, Error, FalClient, Meaning, Result, ask, body, hosts::foreign, json, plain, send, wire};
use crate::clients::file::{FileSink, chunks, read_at};

/// A downloaded file, with its length and hash.
#[derive(Debug)]
pub struct Download {
    /// A temporary file without a name, positioned at its end: rewind before reading.
    pub file: File,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

struct UploadSlot {
    /// The URL for the PUT. It carries its own permission, for a limited time.
    upload_url: Url,
    /// The URL from which the file is read afterwards.
    file_url: String,
}

const UPLOAD: Call = Call::Put;
const ANSWER_LIMIT: usize = 64 << 10;
const LONGEST_URL: usize = 2000;
/// How many upload URLs are requested in a row if they turn out to be expired: the worker may have been suspended
/// between the two steps. If the second one has expired too, the clocks differ, and that will not pass.
const INITIATES: u32 = 2;

impl FalClient {
    /// Uploads a file from its start, and returns the URL from which FAL's runners read it. Until
    /// `expires_after` is over, anybody who has that URL can read the file. `name` becomes the end of the URL,
    /// so its extension tells FAL the format.
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
        let mut tries = INITIATES;
        loop {
            let slot = self
                .initiate(content_type, name, expires_after, is_multipart)
                .await?;
            let put = if is_multipart {
                self.put_parts(&file, bytes, content_type, &slot.upload_url).await
            } else {
                self.put_whole(&file, bytes, content_type, slot.upload_url).await
            };
            match put {
                Ok(()) => return Ok(slot.file_url),
                Err(Error::Expired { .. }) if tries > 1 => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds out at no cost whether FAL accepts uploads from us: starts one and abandons it.
    pub async fn may_upload(&self) -> Result<()> {
        let brief = Duration::from_mins(1);
        self.initiate("application/zip", "probe.zip", brief, false)
            .await
            .map(drop)
    }

    async fn initiate(
        &self,
        content_type: &str,
        name: &str,
        expires_after: Duration,
        is_multipart: bool,
    ) -> Result<UploadSlot> {
        const CALL: Call = Call::Initiate;
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
        let answer = json(CALL, send(CALL, request).await?, ANSWER_LIMIT).await?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        let file_url = text("file_url");
        self.file_rule.vetted(CALL, file_url)?;
        // The URL is stored in a column.
        if file_url.len() > LONGEST_URL {
            return Err(Error::Garbled {
                call: CALL,
                why: format!("a URL of {} bytes", file_url.len()),
            });
        }
        Ok(UploadSlot {
            upload_url: self.file_rule.vetted(CALL, text("upload_url"))?,
            file_url: file_url.to_owned(),
        })
    }

    /// Streams the file. At most two chunks are in memory.
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
    ) -> Result<wire::UploadedPart> {
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

    /// Whether FAL's runners can read a file: requests its first byte with the verb that they use. A HEAD would prove
    /// nothing: a presigned URL's signature covers the verb, so stores answer 403 to it.
    pub async fn exists(&self, url: &str) -> Result<bool> {
        const CALL: Call = Call::FileCheck;
        let first_byte = self.archives.get(web_url(CALL, url)?).header(RANGE, "bytes=0-0");
        match keyless(CALL, first_byte).await {
            // If the server does not know ranges, the rest of the body is never read.
            Ok(_) => Ok(true),
            // Storages also answer 403 for an expired signed URL, and 416 for an empty file.
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

    /// Downloads a small file, such as a picture, into memory.
    pub async fn download_small(&self, url: &str, max_bytes: u64) -> Result<Bytes> {
        const CALL: Call = Call::Download;
        let response = keyless(CALL, self.files.get(self.file_rule.vetted(CALL, url)?)).await?;
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Ok(body(CALL, response, limit).await?.into())
    }

    /// Downloads a file of at most `max_bytes` to a temporary file without a name.
    pub async fn download(&self, url: &str, max_bytes: u64) -> Result<Download> {
        const CALL: Call = Call::Download;
        let mut response = keyless(CALL, self.files.get(self.file_rule.vetted(CALL, url)?)).await?;
        plain(CALL, &response)?;
        let promised = response.content_length();
        if promised.is_some_and(|bytes| bytes > max_bytes) {
            return Err(Error::TooLarge {
                call: CALL,
                limit: max_bytes,
            });
        }
        let mut sink = FileSink::new().map_err(|source| Error::File { call: CALL, source })?;
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
        let (file, sha256) = sink.finish();
        Ok(Download { file, bytes, sha256 })
    }
}

/// The access rule that FAL gets for our files: anybody with the URL, which nobody can guess, may read.
/// Without it the account's own rule applies, and one that hides files (a new account's may) hides
/// archives from the runners and models from us.
pub(super) fn readable() -> Value {
    json!({"default": "allow"})
}

/// A call without the key. The words of a file server's error are dropped: the server may be a stranger's, and its
/// words do not belong into rows and logs.
async fn keyless(call: Call, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
    match ask(call, request).await? {
        Ok(response) => Ok(response),
        // Redirects to FAL's hosts were followed, so this one leads elsewhere.
        Err((answer, Meaning::Moved)) => Err(foreign(call, answer.location.as_ref())),
        Err((answer, meaning)) => Err(answer.in_silence().into_error(call, meaning)),
    }
}

fn is_worth_another(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. } | Error::Server { .. })
}

/// The part's receipt, from the body or from the header.
async fn receipt(number: u64, response: reqwest::Response) -> Result<wire::UploadedPart> {
    let header = response
        .headers()
        .get(ETAG)
        .and_then(|etag| etag.to_str().ok())
        .map(str::to_owned);
    let body = body(UPLOAD, response, ANSWER_LIMIT).await?;
    if let Ok(part) = serde_json::from_slice::<wire::UploadedPart>(&body) {
        return Ok(part);
    }
    let etag = header.ok_or_else(|| Error::Garbled {
        call: UPLOAD,
        why: format!("part {number} has no etag"),
    })?;
    Ok(wire::UploadedPart { number, etag })
}

/// `{path}/{segment}{query}`; the signature is in the query.
fn deeper(target: &Url, segment: &str) -> Url {
    let mut url = target.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(segment);
    }
    url
}

fn web_url(call: Call, text: &str) -> Result<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::Garbled {
            call,
            why: "a URL is not http(s)".to_owned(),
        })
}
