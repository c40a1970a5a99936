//! The control API over HTTP, and how the simulator stops.

use super::*;

#[tokio::test]
async fn faults_that_make_no_sense_are_refused_whole() {
    let fal = Fal::start().await;
    let sensible = json!({ "on": "submit", "effect": { "close": {} } });
    for senseless in [
        json!({ "on": "submit", "effect": { "drop": {} } }),
        json!({ "on": "webhook", "effect": { "hold": {} } }),
        json!({ "on": "submit", "effect": { "explode": {} } }),
        json!({ "on": "submit", "nth": 0, "effect": { "close": {} } }),
        json!({ "on": "submit", "effect": { "close": {} }, "often": 3 }),
    ] {
        let answer = fal.post("__sim/faults", &json!([sensible, senseless])).await;
        assert_eq!(answer.status(), 400, "{senseless}");
    }
    fal.submit(PICTURE, &prompt()).await;
    let scripted: Value = fal
        .post("__sim/faults", &json!([sensible, sensible]))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(scripted, json!({ "faults": [1, 2] }));
    let shown: Value = fal.get("__sim/faults").await.json().await.unwrap();
    assert_eq!(shown["faults"][1]["effect"], json!({ "close": {} }));
    assert_eq!(
        fal.ask(Method::DELETE, "__sim/faults")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    fal.submit(PICTURE, &prompt()).await;
}

#[tokio::test]
async fn the_ledger_can_be_read_and_waited_for_over_http() {
    let fal = Fal::start().await;
    let waiting = fal.get("__sim/ledger?event=run_ended&count=2");
    let (good, bad) = (prompt(), json!({}));
    let (waited, _, second) = tokio::join!(waiting, fal.submit(PICTURE, &good), fal.submit(PICTURE, &bad));
    let ended: Value = waited.json().await.unwrap();
    let statuses: Vec<_> = ended["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["http_status"])
        .collect();
    assert!(statuses.contains(&&json!(200)) && statuses.contains(&&json!(422)));
    let all: Value = fal.get("__sim/ledger").await.json().await.unwrap();
    let entries: Vec<Entry> = serde_json::from_value(all["entries"].clone()).unwrap();
    assert!((1..).zip(&entries).all(|(seq, entry)| entry.seq == seq));
    let tail: Value = fal.get("__sim/ledger?since=2").await.json().await.unwrap();
    assert_eq!(tail["entries"][0]["seq"], 3);
    assert!(!all.to_string().contains("secret"), "keys appear as fingerprints");

    let requests: Value = fal.get("__sim/requests").await.json().await.unwrap();
    let shown = requests["requests"].as_array().unwrap();
    let shown = shown
        .iter()
        .find(|it| it["request_id"] == second["request_id"])
        .unwrap();
    assert_eq!(shown["progress"]["outcome"]["status"], 422);
}

#[tokio::test]
async fn holds_can_be_waited_for_and_released_over_http() {
    let fal = Fal::start().await;
    let fault = json!({ "on": "submit", "times": 2, "effect": { "hold": {} } });
    fal.post("__sim/faults", &fault).await;
    let path = format!("queue/{PICTURE}");
    let input = prompt();
    let submit = || fal.ask(Method::POST, &path).json(&input).send();
    let (first, second, ()) = tokio::join!(submit(), submit(), async {
        let held: Value = fal.get("__sim/held?count=2").await.json().await.unwrap();
        assert_eq!(
            (&held["total"], held["held"].as_array().unwrap().len()),
            (&json!(2), 2)
        );
        let one: Value = fal
            .post("__sim/release", &json!({ "hold": 1, "close": true }))
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(one, json!({ "released": 1 }));
        fal.post("__sim/release", &json!({})).await;
    });
    assert_eq!(
        [first.is_ok(), second.is_ok()].iter().filter(|ok| **ok).count(),
        1,
        "one was cut, one answered"
    );
}

#[tokio::test]
async fn stopping_waits_for_nobody_and_frees_the_port() {
    let fal = Fal::start().await;
    fal.fault(
        Operation::Status,
        Effect::Hold {
            until_delivered: false,
        },
    );
    fal.fault(Operation::Execution, Effect::StuckInQueue {});
    let submitted = fal.submit(PICTURE, &prompt()).await;
    let address = fal.sim.address();
    let held = fal
        .ask(Method::GET, submitted["status_url"].as_str().unwrap())
        .send();
    let held = tokio::spawn(held);
    fal.sim.held(2).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), fal.sim.stop())
        .await
        .expect("it stops");
    assert!(held.await.unwrap().is_err());
    let again = FalSimulatorConfig {
        listen: address,
        ..Default::default()
    };
    FalSimulator::start(again)
        .await
        .expect("the port is free")
        .stop()
        .await;
}
