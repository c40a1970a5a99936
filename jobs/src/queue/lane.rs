//! One connection of a pump, and the statement under way on it.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::info;

use super::{
    Claim, ClaimId, Engine, Known,
    exchange::{Exchange, Exchanged, Wanted},
    governed::Rules,
    link::{Link, timed_out},
};
use crate::job::Queue;

/// See the module.
pub(super) struct Lane {
    link: Link,
    /// Claim statements whose answer never came: given back, uncharged, before the next one.
    unheard: Vec<ClaimId>,
}

/// What one statement is to do.
pub(super) struct Order {
    pub engine: Arc<Engine>,
    pub queue: Queue,
    pub known: Arc<Known>,
    pub acks: Vec<Claim>,
    /// Among the acks are some that may free a key which another job waits for.
    pub coalesced: bool,
    pub wanted: Wanted,
    /// What there is to keep to.
    pub rules: Rules,
    /// How many wake-ups the pump had heard when it gave the order.
    pub heard: u64,
}

impl Order {
    /// By how much it may raise the number of claims that are held: what it acks makes room in the same commit.
    pub(super) const fn growth(&self) -> usize {
        self.wanted.count().saturating_sub(self.acks.len())
    }
}

/// A statement that has come to its end.
pub(super) struct Trip {
    pub lane: Lane,
    pub order: Order,
    pub result: Result<Exchanged, sqlx::Error>,
}

impl Lane {
    pub(super) fn new(engine: &Engine) -> Self {
        Self {
            link: engine.link(),
            unheard: Vec::new(),
        }
    }

    /// Whether it has something to give back.
    pub(super) const fn owes(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Carries out an order. Never dropped half-way but with the worker.
    pub(super) async fn carry_out(mut self, order: Order) -> Trip {
        let result = self.exchange(&order).await;
        Trip {
            lane: self,
            order,
            result,
        }
    }

    async fn exchange(&mut self, order: &Order) -> Result<Exchanged, sqlx::Error> {
        let engine = &order.engine;
        let limit = engine.timing.lease;
        while let Some(claim) = self.unheard.last() {
            let db = self.link.get().await?;
            let queue = order.queue.as_str();
            let released =
                sqlx::query_file!("src/queue/sql/release_unheard.sql", queue, claim.0).fetch_one(db);
            let released = timeout(limit, released).await.map_err(|_| timed_out())??.released;
            self.link.settle().await?;
            if released > 0 {
                info!(
                    queue,
                    "Gave back {released} jobs of {queue} whose claim was cut off"
                );
            }
            self.unheard.pop();
        }
        let exchange = Exchange {
            acks: &order.acks,
            claim: engine.next_claim(),
            worker: &engine.worker,
            lease: engine.timing.lease,
            queue: order.queue,
            known: &order.known,
            wanted: order.wanted,
        };
        let db = self.link.get().await?;
        self.unheard.push(exchange.claim);
        let exchanged = timeout(limit, order.rules.claim(db, exchange))
            .await
            .map_err(|_| timed_out())??;
        self.link.settle().await?;
        self.unheard.pop();
        Ok(exchanged)
    }
}
