//! A training at FAL, a real web role, and a FAL whose signatures the test makes.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{post, web_that_believes};
use crate::{
    saga::world::World,
    support::{Aisha, FalSigner, Web, aisha},
};

pub struct Line {
    pub world: World,
    pub web: Web,
    signer: FalSigner,
}

impl Line {
    pub async fn to(world: World) -> Self {
        let signer = FalSigner::new().await;
        let web = web_that_believes(&signer, &world.db).await;
        Self { world, web, signer }
    }

    /// Starts with a submitted training whose run has ended at FAL.
    pub async fn to_a_submitted_training() -> (Self, String) {
        let world = World::submitted().await;
        world.fal_is_done().await;
        let request = world.request_id().await;
        (Self::to(world).await, request)
    }

    /// FAL posts this body, signed now.
    pub async fn post(&self, request_id: &str, body: &Value) -> StatusCode {
        self.post_to("?training_type=style", request_id, body).await
    }

    pub async fn post_to(&self, query: &str, request_id: &str, body: &Value) -> StatusCode {
        post(&self.web, query, &self.signer.sign(request_id, body.to_string())).await
    }

    /// FAL delivers its own result.
    pub async fn ok(&self, request_id: &str) -> Value {
        let url = self.world.text("select response_url from trainings").await;
        let get = self.web.client.get(url.expect("a response URL"));
        let answer = get
            .header("authorization", "Key test-key:test-secret")
            .send()
            .await;
        let payload: Value = answer.unwrap().json().await.unwrap();
        json!({"request_id": request_id, "gateway_request_id": "g", "status": "OK", "payload": payload})
    }

    /// The disposition of each delivery, oldest first.
    pub async fn verdicts(&self) -> Vec<String> {
        sqlx::query_scalar("select coalesce(disposition, 'pending') from fal_deliveries order by id")
            .fetch_all(self.world.pool())
            .await
            .unwrap()
    }

    /// Makes the deliveries ten minutes older.
    pub async fn ten_minutes_pass(&self) {
        sqlx::query("update fal_deliveries set received_at = received_at - interval '11 minutes'")
            .execute(self.world.pool())
            .await
            .unwrap();
    }

    pub async fn finals(&self) -> i64 {
        self.world.final_messages().await
    }

    pub async fn models(&self) -> i64 {
        self.world
            .count("select count(*) from jobs where kind = 'store_model'")
            .await
    }
}

pub fn error(request_id: &str) -> Value {
    let detail = json!([{"loc": ["body", "images_data_url"], "msg": "bad archive", "type": "value_error"}]);
    json!({"request_id": request_id, "gateway_request_id": "g", "status": "ERROR",
           "error": "Invalid status code: 422", "payload": {"detail": detail}})
}

/// A real worker in this world, for all queues.
pub fn worker(world: &World, variables: &[(&str, &str)]) -> Aisha {
    worker_with(world, &["worker"], variables)
}

/// A real worker in this world, for some queues.
pub fn worker_for(world: &World, queues: &str, variables: &[(&str, &str)]) -> Aisha {
    worker_with(world, &["worker", "--queues", queues], variables)
}

fn worker_with(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Aisha {
    aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", world.db.url())
        .env("AISHA__PHOTOS__MIN", "4")
        .env("AISHA__FAL__POLL_FIRST_AFTER", "300ms")
        .env("AISHA__FAL__WEBHOOK_GRACE", "200ms")
        .envs(world.s3.env())
        .envs(world.fal.env())
        .envs(world.telegram.env())
        .envs(variables.iter().copied())
        .start()
}

/// A web role that accepts signatures of the FAL simulator.
pub async fn web_for(world: &World) -> Web {
    let env = world.fal.env();
    let mut variables: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.retain(|(name, _)| *name == "FAL_JWKS_URL");
    variables.push(("FAL_WEBHOOK_USER_ID", "github|simulated"));
    Web::start(&world.db, &variables).await
}
