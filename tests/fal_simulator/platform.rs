//! The request list, prices, addresses.

use super::*;

const LIST: &str = "api/v1/models/requests/by-endpoint";

async fn listed(fal: &Fal, query: &str) -> Vec<Value> {
    let answer = fal.get(&format!("{LIST}?{query}")).await;
    assert_eq!(answer.status(), 200, "{query}");
    let body: Value = answer.json().await.unwrap();
    body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_list_shows_what_has_started() {
    let fal = Fal::start().await;
    fal.fault(Operation::Execution, Effect::StuckInQueue {});
    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    let submitted = fal.submit(PICTURE, &json!({ "prompt": "unique" })).await;
    let query = format!("endpoint_id={PICTURE}&expand=payloads");
    fal.sim.held(1).await.unwrap();
    assert!(
        listed(&fal, &query).await.is_empty(),
        "queued requests are not listed"
    );
    fal.sim.release();
    fal.sim.held(2).await.unwrap();
    let running = listed(&fal, &query).await;
    assert_eq!(running[0]["request_id"], submitted["request_id"]);
    assert_eq!(running[0]["json_input"]["prompt"], "unique");
    assert!(running[0]["started_at"].is_string() && running[0]["ended_at"].is_null());
    fal.sim.release();
    fal.ended(&submitted).await;
    let ended = listed(&fal, &query).await;
    assert_eq!(
        (&ended[0]["status_code"], ended[0]["ended_at"].is_string()),
        (&json!(200), true)
    );
    assert_eq!(ended[0]["json_output"]["prompt"], "unique");
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let fal = Fal::start().await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let submitted = fal
            .submit(PICTURE, &json!({ "prompt": number.to_string() }))
            .await;
        fal.ended(&submitted).await;
        ids.push(submitted["request_id"].as_str().unwrap().to_owned());
    }
    fal.result(PICTURE, &json!({})).await;
    let hidden = fal
        .ask(Method::POST, &format!("queue/{FINETUNED}"))
        .header("x-fal-store-io", "0");
    let hidden: Value = hidden
        .json(&json!({}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    fal.ended(&hidden).await;

    let count = async |query: &str| listed(&fal, query).await.len();
    assert_eq!(count(&format!("endpoint_id={PICTURE}")).await, 4);
    assert_eq!(count(&format!("endpoint_id={PICTURE},{FINETUNED}")).await, 5);
    assert_eq!(
        count(&format!("endpoint_id={PICTURE}&endpoint_id={FINETUNED}")).await,
        5
    );
    assert_eq!(count(&format!("endpoint_id={PICTURE}&status=success")).await, 3);
    assert_eq!(
        count(&format!("endpoint_id={PICTURE}&status=user_error")).await,
        1
    );
    assert_eq!(
        count(&format!("endpoint_id={PICTURE}&request_id={}", ids[1])).await,
        1
    );
    assert_eq!(count(&format!("endpoint_id={PICTURE}&start=2099-01-01")).await, 0);
    assert_eq!(
        count(&format!("endpoint_id={PICTURE}&end=2000-01-01T00:00:00Z")).await,
        0
    );
    let secret = listed(&fal, &format!("endpoint_id={FINETUNED}&expand=payloads")).await;
    assert!(secret[0].get("json_input").is_none(), "X-Fal-Store-IO: 0");

    let mut cursor = "0".to_owned();
    let mut pages = Vec::new();
    loop {
        let url = format!("{LIST}?endpoint_id={PICTURE}&status=success&limit=2&cursor={cursor}");
        let page: Value = fal.get(&url).await.json().await.unwrap();
        pages.push(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let newest_first: Vec<_> = pages
        .iter()
        .flatten()
        .map(|row| row["request_id"].as_str().unwrap())
        .collect();
    assert_eq!(newest_first, [&ids[2], &ids[1], &ids[0]]);
    let search: Value = fal
        .get("api/v1/models/requests/search")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(search["results"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn the_list_may_lag_behind() {
    let fal = Fal::with(FalSimulatorConfig {
        listing_delay: Duration::from_hours(1),
        ..Default::default()
    })
    .await;
    fal.result(PICTURE, &json!({ "prompt": "p" })).await;
    assert!(listed(&fal, &format!("endpoint_id={PICTURE}")).await.is_empty());
    fal.settings(&json!({ "listing_delay_ms": 0 })).await;
    assert_eq!(listed(&fal, &format!("endpoint_id={PICTURE}")).await.len(), 1);
}

#[tokio::test]
async fn the_platform_has_its_own_shape_of_errors() {
    let fal = Fal::start().await;
    let many = "x,".repeat(50);
    let cases = [
        String::new(),
        format!("endpoint_id={many}x"),
        format!("endpoint_id={PICTURE}&limit=101"),
        format!("endpoint_id={PICTURE}&status=done"),
        format!("endpoint_id={PICTURE}&start=yesterday"),
        format!("endpoint_id={PICTURE}&request_id=1"),
        format!("endpoint_id={PICTURE}&sort_by=name"),
    ];
    for query in cases {
        let answer = fal.get(&format!("{LIST}?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        assert_eq!(
            answer.json::<Value>().await.unwrap()["error"]["type"],
            "validation_error"
        );
    }
    let keyless = fal.http.get(fal.url(LIST)).send().await.unwrap();
    assert_eq!(keyless.status(), 401);
    assert_eq!(
        keyless.json::<Value>().await.unwrap()["error"]["type"],
        "authorization_error"
    );
}

#[tokio::test]
async fn prices_and_addresses_are_public_knowledge() {
    let fal = Fal::start().await;
    let url = format!("api/v1/models/pricing?endpoint_id={PORTRAIT}");
    let prices: Value = fal.get(&url).await.json().await.unwrap();
    assert_eq!(prices["prices"][0]["unit_price"], 0.0024);
    assert_eq!(fal.get("api/v1/models/pricing?endpoint_id=x").await.status(), 404);
    let meta: Value = fal
        .http
        .get(fal.url("api/v1/meta"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        meta["webhook_ip_ranges"]
            .as_array()
            .unwrap()
            .contains(&json!("127.0.0.1/32"))
    );
}
