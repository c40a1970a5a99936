//! FAL's public keys, fetched when they are needed.
//!
//! # Must stay true
//! * a key set is used for at most a day before it is fetched again; longer only while FAL's is out of reach
//! * a signature by an unknown key fetches the set once more, so that a rotation is survived; at most once a minute,
//!   so that forgeries cannot make us flood FAL
//! * a caller that has a key never waits for another caller's fetch

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::VerifyingKey;
use reqwest::{Client, redirect};
use tracing::warn;
use url::Url;

use super::{Call, Error, Result, describe, json, send, signature::read_keys, uncompressed, wire};

const LIFETIME: TimeDelta = TimeDelta::hours(24);
const LIMIT: usize = 256 << 10;

/// The cache of keys; one per process.
#[derive(Debug)]
pub(super) struct KeySet {
    url: Url,
    http: Client,
    held: Mutex<HeldKeys>,
    /// Allows one fetch at a time; callers that need its keys wait for it.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct HeldKeys {
    keys: Vec<VerifyingKey>,
    fetched_at: Option<DateTime<Utc>>,
    tried_at: Option<DateTime<Utc>>,
}

impl HeldKeys {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.fetched_at.is_some_and(|at| now - at < LIFETIME)
    }

    /// Without any key every delivery has to wait, so fetches are allowed more often.
    fn may_fetch(&self, now: DateTime<Utc>) -> bool {
        let between = if self.keys.is_empty() {
            TimeDelta::seconds(5)
        } else {
            TimeDelta::minutes(1)
        };
        self.tried_at.is_none_or(|at| (now - at).abs() >= between)
    }
}

impl KeySet {
    pub(super) fn new(url: Url, timeout: Duration) -> Result<Self> {
        let http = Client::builder()
            .user_agent(concat!("aisha/", env!("CARGO_PKG_VERSION")))
            .default_headers(uncompressed())
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::Settings(describe(&error)))?;
        Ok(Self {
            url,
            http,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The keys to try first. Empty: no fetch has ever succeeded.
    pub(super) async fn current(&self, now: DateTime<Utc>) -> Vec<VerifyingKey> {
        let held = self.held();
        let somebody_fetches = || self.fetching.try_lock().is_err();
        if held.is_fresh(now) || (!held.keys.is_empty() && somebody_fetches()) {
            return held.keys;
        }
        self.fetched(&held, now).await
    }

    /// The keys to try if none of `tried` fits. `None`: no newer ones can be fetched.
    pub(super) async fn newer_than(
        &self,
        tried: &[VerifyingKey],
        now: DateTime<Utc>,
    ) -> Option<Vec<VerifyingKey>> {
        let keys = self.fetched(&self.held(), now).await;
        (keys != tried).then_some(keys)
    }

    /// Fetches, unless that was tried a moment ago or another caller did it while
    /// we waited. Returns the keys held then.
    async fn fetched(&self, seen: &HeldKeys, now: DateTime<Utc>) -> Vec<VerifyingKey> {
        if !seen.may_fetch(now) {
            return seen.keys.clone();
        }
        let _alone = self.fetching.lock().await;
        let held = self.held();
        if held.tried_at != seen.tried_at {
            return held.keys;
        }
        let fetched = self.fetch().await;
        // Noted only now: a caller that comes while the first keys are on their way must wait for them, and not be
        // told that they were tried a moment ago.
        self.note(|held| held.tried_at = Some(now));
        match fetched {
            Ok(keys) => self.note(|held| {
                held.keys = keys;
                held.fetched_at = Some(now);
            }),
            Err(error) => warn!(
                "FAL's public keys could not be fetched, {} old ones stay in use: {error}",
                held.keys.len()
            ),
        }
        self.held().keys
    }

    async fn fetch(&self) -> Result<Vec<VerifyingKey>> {
        const CALL: Call = Call::Keys;
        let response = send(CALL, self.http.get(self.url.clone())).await?;
        let set = json(CALL, response, LIMIT).await?;
        let keys = read_keys(wire::list(&set, "keys"));
        if keys.is_empty() {
            Err(Error::Garbled {
                call: CALL,
                why: "it holds no Ed25519 key".to_owned(),
            })
        } else {
            Ok(keys)
        }
    }

    fn held(&self) -> HeldKeys {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut HeldKeys)) {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
