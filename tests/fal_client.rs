//! The FAL client, against the simulator and against servers that break the protocol as no simulator would.

mod requests;
mod storage;
mod submit;
mod wire;

use std::time::Duration;

use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig, Running};
use jobs::fal::{FalClient, FalSettings, Request, RequestStatus, SubmitOutcome};
use serde_json::{Value, json};
use url::Url;

use crate::support::{eventually, fal_settings};

/// An endpoint that makes pictures: the simulator's quickest request.
const PICTURES: &str = "fal-ai/flux-lora";

fn parsed(url: &str) -> Url {
    url.parse().expect("a URL")
}

fn client(settings: FalSettings) -> FalClient {
    FalClient::new(settings).expect("a client")
}

async fn simulator() -> (Running, FalClient) {
    let config = FalSimulatorConfig {
        request_duration: Duration::from_millis(50),
        time_scale: 0.01,
        ..Default::default()
    };
    let simulator = FalSimulator::start(config).await.expect("a simulator");
    let fal = client(fal_settings(&simulator.url()));
    (simulator, fal)
}

fn prompt(text: &str) -> Value {
    json!({"prompt": text, "num_inference_steps": 4})
}

/// Submits a request that FAL must accept.
async fn accepted(fal: &FalClient, endpoint: &str, input: &Value) -> Request {
    match fal.submit(endpoint, input, None, || true).await {
        SubmitOutcome::Accepted(request) => request,
        other => panic!("not accepted: {other:?}"),
    }
}

async fn completed(fal: &FalClient, request: &Request) {
    let is_completed =
        async || (fal.status(request).await.expect("a status") == RequestStatus::Completed).then_some(());
    eventually("the request is completed", is_completed).await;
}
