//! What a simulator with a directory still knows after a restart.

use std::path::Path;
use std::time::Duration;

use aisha::simulators::fal::ledger::Event;
use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig};
use serde_json::Value;

use super::{Fal, PICTURE, prompt};

fn remembering(directory: &Path) -> FalSimulatorConfig {
    FalSimulatorConfig {
        state: Some(directory.to_owned()),
        request_duration: Duration::from_millis(100),
        time_scale: 0.001,
        ..FalSimulatorConfig::default()
    }
}

#[tokio::test]
async fn requests_results_files_keys_and_ledger_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let fal = Fal::with(remembering(directory.path())).await;
    let done = fal.submit(PICTURE, &prompt()).await;
    fal.ended(&done).await;
    let result = fal.result_of(&done).await;
    let keys: Value = fal.get("rest/.well-known/jwks.json").await.json().await.unwrap();
    let address = fal.sim.address();
    // This request takes longer than the first process lives.
    fal.settings(&serde_json::json!({ "request_duration_ms": 3_600_000 }))
        .await;
    let cut = fal.submit(PICTURE, &prompt()).await;
    let ledger = fal.sim.ledger();
    fal.sim.stop().await;

    let config = FalSimulatorConfig {
        listen: address,
        ..remembering(directory.path())
    };
    let sim = FalSimulator::start(config).await.unwrap();
    let again = Fal { sim, http: fal.http };
    let known = again.sim.ledger();
    assert_eq!(
        serde_json::to_value(&known[..ledger.len()]).unwrap(),
        serde_json::to_value(&ledger).unwrap()
    );
    assert_eq!(again.result_of(&done).await, result);
    let picture = result.1["images"][0]["url"].as_str().unwrap();
    assert_eq!(again.get(picture).await.status(), 200);
    let served: Value = again
        .get("rest/.well-known/jwks.json")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(served, keys);
    // The request was paid for: it is finished, neither forgotten nor submitted twice.
    again.ended(&cut).await;
    assert_eq!(again.result_of(&cut).await.0, 200);
    let submits = again.events(|event| matches!(event, Event::Submitted { .. }).then_some(()));
    assert_eq!(submits.len(), 2);
}
