//! `v3.fal.media`: files. Anyone with the URL may read a file until it expires, unless the account or the
//! upload restricts it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::call::{Call, detail};
use super::ledger::Event;
use super::memory::{KeptFile, Memory};
use super::simulation::{Simulation, locked, now};

/// Whether anyone who has a file's URL may read it. Reading needs no key; FAL's own runners use none either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Acl {
    /// Reading is allowed.
    #[default]
    Allow,
    /// Reading is answered with 403.
    Forbid,
    /// Reading is answered with 404, as if there were no such file.
    Hide,
}

/// Contents of the lifecycle headers of a file.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lifecycle {
    /// Time from the upload until the file disappears; `None`: never.
    pub expires_after: Option<Duration>,
    pub acl: Acl,
}

#[derive(Clone)]
pub(super) struct File {
    pub content_type: String,
    pub bytes: Bytes,
    pub sha256: String,
    dies_at: Option<DateTime<Utc>>,
    acl: Acl,
}

impl File {
    fn kept(&self, path: &str) -> KeptFile {
        KeptFile {
            path: path.to_owned(),
            content_type: self.content_type.clone(),
            sha256: self.sha256.clone(),
            dies_at: self.dies_at,
            acl: self.acl,
        }
    }
}

#[derive(Default)]
pub(super) struct Files {
    by_path: Mutex<HashMap<String, File>>,
    memory: Memory,
}

impl Files {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            by_path: Mutex::default(),
            memory,
        }
    }

    pub(super) fn put_back(&self, kept: KeptFile, bytes: Bytes) {
        let file = File {
            content_type: kept.content_type,
            bytes,
            sha256: kept.sha256,
            dies_at: kept.dies_at,
            acl: kept.acl,
        };
        locked(&self.by_path).insert(kept.path, file);
    }

    pub(super) fn forget(&self, path: &str) {
        locked(&self.by_path).remove(path);
    }

    pub(super) fn kept(&self) -> Vec<KeptFile> {
        let files = locked(&self.by_path);
        files.iter().map(|(path, file)| file.kept(path)).collect()
    }

    /// Stores the bytes, which are served at `path` from now on.
    pub(super) fn put(&self, path: &str, content_type: &str, bytes: Bytes, life: Lifecycle) -> File {
        let file = File {
            content_type: content_type.to_owned(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes,
            dies_at: life.expires_after.map(|life| now() + life),
            acl: life.acl,
        };
        self.memory.file(file.kept(path), &file.bytes);
        locked(&self.by_path).insert(path.to_owned(), file.clone());
        file
    }

    /// What is served at a path, for the simulator's own runs.
    pub(super) fn bytes(&self, path: &str) -> Option<Bytes> {
        self.get(path).map(|file| file.bytes)
    }

    fn get(&self, path: &str) -> Option<File> {
        let mut files = locked(&self.by_path);
        if files.get(path)?.dies_at.is_some_and(|at| at <= now()) {
            files.remove(path);
            self.memory.expired(path);
        }
        files.get(path).cloned()
    }

    /// Expires all files whose path contains this text; returns how many.
    pub(super) fn expire(&self, text: &str) -> usize {
        let mut files = locked(&self.by_path);
        let before = files.len();
        files.retain(|path, _| {
            let lives = !path.contains(text);
            if !lives {
                self.memory.expired(path);
            }
            lives
        });
        before - files.len()
    }
}

/// A path that cannot be guessed and ends in a name that is safe in a URL.
pub(super) fn new_path(file_name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
            c
        } else {
            '_'
        }
    };
    let name: String = file_name.chars().map(safe).take(120).collect();
    let name = if name.trim_matches(['.', '_']).is_empty() {
        "upload.bin"
    } else {
        &name
    };
    format!("files/b/{}/{name}", Uuid::new_v4().simple())
}

/// `GET` and `HEAD /files/…`, with at most one range.
pub(super) fn download(sim: &Simulation, call: &Call) -> Response {
    let response = match sim.files.get(&call.path) {
        Some(file) if file.acl == Acl::Allow => serve(&file, call),
        Some(file) if file.acl == Acl::Forbid => detail(StatusCode::FORBIDDEN, "Access denied"),
        _ => detail(StatusCode::NOT_FOUND, "File not found"),
    };
    sim.ledger.record(Event::Downloaded {
        path: call.path.clone(),
        method: call.method.to_string(),
        http_status: response.status().as_u16(),
        leaked_authorization: call.headers.contains_key(AUTHORIZATION),
    });
    response
}

fn serve(file: &File, call: &Call) -> Response {
    let length = file.bytes.len();
    let mut builder = Response::builder()
        .header(CONTENT_TYPE, &file.content_type)
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, format!("\"{}\"", file.sha256));
    let bytes = match call
        .header(RANGE.as_str())
        .map(|header| parse_range(header, length))
    {
        None | Some(Asked::Unreadable) => file.bytes.clone(),
        Some(Asked::Outside) => {
            builder = builder
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(CONTENT_RANGE, format!("bytes */{length}"));
            Bytes::new()
        }
        Some(Asked::Part(from, to)) => {
            builder = builder
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, format!("bytes {from}-{to}/{length}"));
            file.bytes.slice(from..=to)
        }
    };
    builder = builder.header(CONTENT_LENGTH, bytes.len());
    let body = if call.method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(bytes)
    };
    builder.body(body).unwrap_or_else(|error| {
        detail(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the file's content type is no header: {error}"),
        )
    })
}

enum Asked {
    /// The first and the last byte, inclusive.
    Part(usize, usize),
    Outside,
    /// Not a single range of bytes: RFC 9110 lets us ignore the header.
    Unreadable,
}

fn parse_range(header: &str, length: usize) -> Asked {
    let bounds = header
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let (from, to) = match bounds.map(|(from, to)| (from.parse::<usize>(), to.parse::<usize>(), from, to)) {
        Some((Ok(from), Ok(to), ..)) if from <= to => (from, to),
        Some((Ok(from), Err(_), _, "")) => (from, usize::MAX),
        Some((Err(_), Ok(last), "", _)) => {
            if last == 0 {
                return Asked::Outside;
            }
            (length.saturating_sub(last), usize::MAX)
        }
        _ => return Asked::Unreadable,
    };
    if from >= length {
        Asked::Outside
    } else {
        Asked::Part(from, to.min(length - 1))
    }
}
