//! What trainings and generations have in common: an order at FAL, whichever table its row is in.
//!
//! [`Order`] is a row, [`LockedOrder`] one that nobody else can change until the transaction ends. Each write goes to the
//! table of the order; what it writes is described there.

use std::ops::{Deref, DerefMut};

use serde_json::Value;
use sqlx::PgConnection;

use super::{
    StoreError,
    generations::{self, Generation},
    trainings::{self, Training},
};
use crate::domain::{
    EndReason, FailureCode, FalRequest, LateModel, OrderId, OrderStatus, Product, Saga, Times,
    TrainingSource, UserId,
};

/// A training or a generation.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Training(Training),
    Generation(Generation),
}

/// FAL's answer to one status call.
#[derive(Debug, Clone)]
pub(crate) struct Observation<'a> {
    pub fal_status: &'a str,
    pub queue_position: Option<i32>,
    pub progress: Option<u8>,
    pub message: Option<&'a str>,
}

/// What is written about a live order when it ends.
#[derive(Debug)]
pub(crate) struct OrderEnding<'a> {
    /// `None`: it was called off, and is `cancelled`.
    pub failure: Option<FailureCode>,
    /// What happened, in English, for operators. Users do not see it.
    pub detail: &'a str,
    /// The origin of the fact that ended it.
    pub source: TrainingSource,
    /// `Watched` if FAL may still finish it, `Kept` if its result is here. `None`: no model is expected.
    pub late: Option<LateModel>,
}

impl Order {
    pub(crate) const fn id(&self) -> OrderId {
        match self {
            Self::Training(training) => OrderId::Training(training.id),
            Self::Generation(generation) => OrderId::Generation(generation.id),
        }
    }

    pub(crate) const fn user_id(&self) -> UserId {
        match self {
            Self::Training(training) => training.user_id,
            Self::Generation(generation) => generation.user_id,
        }
    }

    pub(crate) fn status(&self) -> OrderStatus {
        match self {
            Self::Training(training) => training.status.into(),
            Self::Generation(generation) => generation.status.into(),
        }
    }

    pub(crate) fn saga(&self) -> Saga {
        match self {
            Self::Training(training) => training.saga(),
            Self::Generation(generation) => generation.saga(),
        }
    }

    pub(crate) const fn times(&self) -> Times {
        match self {
            Self::Training(training) => training.times(),
            Self::Generation(generation) => generation.times(),
        }
    }

    /// The request that FAL has for it; `None` until one is accepted or adopted.
    pub(crate) fn request(&self) -> Option<FalRequest> {
        match self {
            Self::Training(training) => training.request(),
            Self::Generation(generation) => generation.request(),
        }
    }

    /// FAL's id of its request.
    pub(crate) fn request_id(&self) -> Option<&str> {
        match self {
            Self::Training(training) => training.request_id.as_deref(),
            Self::Generation(generation) => generation.request_id.as_deref(),
        }
    }

    /// FAL's word in the last status answer.
    pub(crate) fn fal_status(&self) -> Option<&str> {
        match self {
            Self::Training(training) => training.fal_status.as_deref(),
            Self::Generation(generation) => generation.fal_status.as_deref(),
        }
    }

    pub(crate) const fn end_asked(&self) -> Option<EndReason> {
        match self {
            Self::Training(training) => training.end_asked,
            Self::Generation(generation) => generation.end_asked,
        }
    }

    /// Whether FAL's output is stored.
    pub(crate) const fn has_result(&self) -> bool {
        match self {
            Self::Training(training) => training.result.is_some(),
            Self::Generation(generation) => generation.result.is_some(),
        }
    }

    /// What became of a model after the end; pictures are not waited for.
    pub(crate) const fn late_model(&self) -> Option<LateModel> {
        match self {
            Self::Training(training) => training.late_model,
            Self::Generation(_) => None,
        }
    }
}

/// Reads one order without a lock; it may have changed when this returns.
pub(crate) async fn find(tx: &mut PgConnection, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    Ok(match id {
        OrderId::Training(id) => trainings::find(tx, id).await?.map(Order::Training),
        OrderId::Generation(id) => generations::find(tx, id).await?.map(Order::Generation),
    })
}

/// The order with this request id of FAL's.
pub(crate) async fn find_by_request(
    tx: &mut PgConnection,
    request_id: &str,
) -> Result<Option<OrderId>, sqlx::Error> {
    if let Some(id) = trainings::find_by_request(tx, request_id).await? {
        return Ok(Some(id.into()));
    }
    Ok(generations::find_by_request(tx, request_id)
        .await?
        .map(OrderId::from))
}

/// Orders of a product that still need a job, at most `limit`, in order of id after `after`: live ones, and ended trainings
/// whose model may still come or is being copied.
pub(crate) async fn restless(
    tx: &mut PgConnection,
    product: Product,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<OrderId>, sqlx::Error> {
    Ok(match product {
        Product::Model => {
            let after = after.and_then(OrderId::training);
            let found = trainings::restless(tx, after, limit).await?;
            found.into_iter().map(OrderId::from).collect()
        }
        Product::Pictures => {
            let after = after.and_then(OrderId::generation);
            let found = generations::live(tx, after, limit).await?;
            found.into_iter().map(OrderId::from).collect()
        }
    })
}

/// An order whose row is locked until the transaction ends. Only [`lock`] makes one, so a function that takes one cannot
/// be given a row that another transaction may change meanwhile.
#[derive(Debug)]
pub(crate) struct LockedOrder(Order);

impl Deref for LockedOrder {
    type Target = Order;

    fn deref(&self) -> &Order {
        &self.0
    }
}

impl DerefMut for LockedOrder {
    fn deref_mut(&mut self) -> &mut Order {
        &mut self.0
    }
}

/// Locks one order until the transaction ends, and reads it.
pub(crate) async fn lock(tx: &mut PgConnection, id: OrderId) -> Result<Option<LockedOrder>, sqlx::Error> {
    let is_there = match id {
        OrderId::Training(id) => trainings::lock(tx, id).await?,
        OrderId::Generation(id) => generations::lock(tx, id).await?,
    };
    if !is_there {
        return Ok(None);
    }
    Ok(find(tx, id).await?.map(LockedOrder))
}

pub(crate) async fn submitting(tx: &mut PgConnection, id: OrderId) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::submitting(tx, id).await,
        OrderId::Generation(id) => generations::submitting(tx, id).await,
    }
}

pub(crate) async fn not_submitted(tx: &mut PgConnection, id: OrderId) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::not_submitted(tx, id).await,
        OrderId::Generation(id) => generations::not_submitted(tx, id).await,
    }
}

pub(crate) async fn submitted(
    tx: &mut PgConnection,
    id: OrderId,
    request: &FalRequest,
) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::submitted(tx, id, request).await,
        OrderId::Generation(id) => generations::submitted(tx, id, request).await,
    }
}

/// `false`: the order had left FAL when the answer came, since the row is not locked during the call.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    id: OrderId,
    seen: &Observation<'_>,
) -> Result<bool, sqlx::Error> {
    match id {
        OrderId::Training(id) => trainings::observed(tx, id, seen).await,
        OrderId::Generation(id) => generations::observed(tx, id, seen).await,
    }
}

/// Counts an answer in which FAL denied the request or said nothing about it. Returns how many came in a row.
pub(crate) async fn odd_answer(tx: &mut PgConnection, id: OrderId) -> Result<i16, sqlx::Error> {
    match id {
        OrderId::Training(id) => trainings::odd_answer(tx, id).await,
        OrderId::Generation(id) => generations::odd_answer(tx, id).await,
    }
}

/// FAL's result is stored.
pub(crate) async fn made(
    tx: &mut PgConnection,
    id: OrderId,
    result: &Value,
    source: TrainingSource,
) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::trained(tx, id, result, source).await,
        OrderId::Generation(id) => generations::generated(tx, id, result, source).await,
    }
}

/// Any live status → failed | cancelled.
pub(crate) async fn end(
    tx: &mut PgConnection,
    id: OrderId,
    ending: &OrderEnding<'_>,
) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::end(tx, id, ending).await,
        OrderId::Generation(id) => generations::end(tx, id, ending).await,
    }
}

/// Notes that the end was asked for and FAL has to be told.
pub(crate) async fn ask_to_end(
    tx: &mut PgConnection,
    id: OrderId,
    reason: EndReason,
    by: Option<&str>,
) -> Result<(), StoreError> {
    match id {
        OrderId::Training(id) => trainings::ask_to_end(tx, id, reason, by).await,
        OrderId::Generation(id) => generations::ask_to_end(tx, id, reason, by).await,
    }
}
