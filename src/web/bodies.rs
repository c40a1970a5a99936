//! Bodies of requests, read within bounds: each has a largest size, and all together have a share of memory.
//!
//! A signature can only be checked with the whole body at hand, so whoever writes four plausible headers makes us read.
//! A thousand of them may hold no more than `web.body_memory_bytes`; when that is taken, those that have been sending
//! for longest are closed, as many as it takes, since a genuine delivery is here within milliseconds
//! (proven by `slow_bodies_that_fill_the_memory_for_bodies_do_not_keep_a_delivery_out`).

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

/// For room, once somebody was closed to make it.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is read of a body after its request was refused, so that a caller who sends first and reads then still gets
/// to read the answer: closing a connection with unread bytes takes back what we wrote.
const DISCARDED_BYTES: usize = 4 << 20;
/// How long that is done.
const DISCARDED_FOR: Duration = Duration::from_secs(2);

/// Reads bodies. Clones share one memory.
#[derive(Debug, Clone)]
pub struct Bodies {
    limit: usize,
    room: Arc<Semaphore>,
    connections: Connections,
}

/// A whole body; its room is free again when this is dropped.
#[derive(Debug)]
pub struct Received {
    /// As it came.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// Said or found to be.
    #[error("its body is larger than web.max_body_bytes, {0}")]
    TooLarge(usize),
    /// Too many others are being read.
    #[error("there is no room for its body: web.body_memory_bytes is taken")]
    NoRoom,
    /// The caller is gone, or writes no HTTP.
    #[error("its body ended too early")]
    CutOff,
}

impl NotReceived {
    /// What the caller is told, and how it is counted.
    pub const fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "no_room"),
            Self::CutOff => (StatusCode::BAD_REQUEST, "garbage"),
        }
    }
}

impl Bodies {
    /// Each of at most `limit` bytes, of at most `memory` together. Who takes too long is closed among `connections`.
    pub fn new(limit: usize, memory: usize, connections: Connections) -> Self {
        Self {
            limit,
            room: Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS))),
            connections,
        }
    }

    /// Reads all of `body`, or as much as it takes to refuse it.
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

/// Lets a body go that nobody wants: its request is refused already.
pub fn discard(headers: &HeaderMap, body: Body) {
    // Whoever waits to be told to go on, or sends more than is worth reading, hears the answer as it is.
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
