//! FAL's deliveries, from the web role to their effect: the receiver's promises W1 to W14. Each promise's tests have
//! its name (`cargo test w0`, `cargo test w1`). `webhook_signature.rs` tests the verifier alone.

mod acknowledged;
mod believed;
mod bodies;
mod effects;
pub mod line;
mod operators;
mod processes;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use crate::support::{Db, Delivery, FAL_USER, FalSigner, Web};

const PATH: &str = "/api/v1/avatar/status_update";
const REQUEST: &str = "764cabcf-b745-4b3e-ae38-1200304cf45b";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A web role that accepts signatures of `signer`.
async fn web_that_believes(signer: &FalSigner, db: &Db) -> Web {
    Web::start(
        db,
        &[
            ("FAL_JWKS_URL", signer.jwks_url()),
            ("FAL_WEBHOOK_USER_ID", FAL_USER),
        ],
    )
    .await
}

fn succeeded() -> String {
    let payload = json!({"diffusers_lora_file": {"url": "https://v3b.fal.media/files/b/x/lora.safetensors"}});
    json!({"request_id": REQUEST, "gateway_request_id": "g", "status": "OK", "payload": payload}).to_string()
}

async fn post(web: &Web, query: &str, delivery: &Delivery) -> StatusCode {
    let request = web.client.post(web.url(&format!("{PATH}{query}")));
    delivery.on(request).send().await.expect("an answer").status()
}

async fn stored(db: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from fal_deliveries")
        .fetch_one(db)
        .await
        .unwrap()
}

/// How many jobs will apply a delivery that exists.
async fn jobs(db: &PgPool) -> i64 {
    let query = "select count(*) from jobs join fal_deliveries on fal_deliveries.id = (payload->>'delivery_id')::bigint \
                 where kind = 'apply_fal_delivery'";
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

/// The stored columns of a delivery.
type Row = (
    String,
    Vec<u8>,
    Option<String>,
    Option<String>,
    String,
    Vec<String>,
    bool,
);
