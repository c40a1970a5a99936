//! Reads bodies of requests within bounds: each has a largest size, and all together share a limited memory.
//!
//! A signature can only be checked with the whole body at hand, so anyone who sends four plausible headers
//! makes us read a body. All bodies together may take no more than `web.body_memory_bytes`. When that is used
//! up, the connections that have been sending for longest are closed, as many as needed, since a genuine
//! delivery arrives within milliseconds (proven by
//! `slow_bodies_that_fill_the_memory_for_bodies_do_not_keep_a_delivery_out`).

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::connections::{Connection, Connections};

/// How long a body waits for memory after connections were closed to free some.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of a body is read after its request was refused. A caller may send everything before it reads,
/// and closing a connection with unread bytes would discard our answer.
const DISCARDED_BYTES: usize = 4 << 20;
/// How long the rest of a refused body is read.
const DISCARDED_FOR: Duration = Duration::from_secs(2);

/// Reads bodies. Clones share one memory limit.
#[derive(Debug, Clone)]
pub struct Bodies {
    limit: usize,
    room: Arc<Semaphore>,
    connections: Connections,
}

/// A whole body. Dropping it frees its memory.
#[derive(Debug)]
pub struct Received {
    /// The bytes of the body, unchanged.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// Its `Content-Length` or its bytes are above the limit, which the error names.
    #[error("its body is larger than web.max_body_bytes, {0}")]
    TooLarge(usize),
    /// Other bodies take all the memory for bodies.
    #[error("there is no room for its body: web.body_memory_bytes is used up")]
    NoRoom,
    /// The caller disconnected, or sent invalid HTTP.
    #[error("its body ended too early")]
    CutOff,
}

impl NotReceived {
    /// The status that the caller gets, and the name under which it is counted.
    pub const fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "no_room"),
            Self::CutOff => (StatusCode::BAD_REQUEST, "garbage"),
        }
    }
}

impl Bodies {
    /// `limit` bounds each body in bytes, `memory` all of them together. If the memory is used up, slow
    /// connections among `connections` are closed.
    pub fn new(limit: usize, memory: usize, connections: Connections) -> Self {
        Self {
            limit,
            room: Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS))),
            connections,
        }
    }

    /// Reads the whole body, or refuses it as early as possible.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        connection: &Connection,
        body: Body,
    ) -> Result<Received, NotReceived> {
        if announced(headers).is_some_and(|bytes| bytes > self.limit as u64) {
            discard(headers, body);
            return Err(NotReceived::TooLarge(self.limit));
        }
        let mut stream = body.into_data_stream();
        connection.body_began();
        let read = self.collect(&mut stream, connection).await;
        connection.body_ended();
        if matches!(read, Err(NotReceived::TooLarge(_) | NotReceived::NoRoom)) {
            discard_stream(stream);
        }
        read
    }

    async fn collect(
        &self,
        stream: &mut BodyDataStream,
        connection: &Connection,
    ) -> Result<Received, NotReceived> {
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| NotReceived::CutOff)?;
            if bytes.len() + chunk.len() > self.limit {
                return Err(NotReceived::TooLarge(self.limit));
            }
            let more = self.room_for(chunk.len()).await?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&chunk);
            connection.holds(bytes.len());
        }
        Ok(Received {
            bytes: bytes.freeze(),
            _room: room,
        })
    }

    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, NotReceived> {
        let permits = u32::try_from(bytes).map_err(|_| NotReceived::NoRoom)?;
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            return Ok(room);
        }
        self.connections.evict_senders(bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        match timeout(PATIENCE, room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(NotReceived::NoRoom),
        }
    }
}

/// Reads on for a while and discards the body of a request that is already refused, so that the caller gets
/// the answer.
pub fn discard(headers: &HeaderMap, body: Body) {
    // A caller who waits for "100 Continue", or announces more than is worth reading, gets the answer without
    // it.
    let is_waiting = headers.contains_key(header::EXPECT);
    let is_endless = announced(headers).is_some_and(|bytes| bytes > DISCARDED_BYTES as u64);
    if !is_waiting && !is_endless {
        discard_stream(body.into_data_stream());
    }
}

fn discard_stream(mut stream: BodyDataStream) {
    let read = async move {
        let mut bytes = 0;
        while bytes < DISCARDED_BYTES
            && let Some(Ok(chunk)) = stream.next().await
        {
            bytes += chunk.len();
        }
    };
    tokio::spawn(timeout(DISCARDED_FOR, read));
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
