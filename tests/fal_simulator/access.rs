//! Which callers are accepted, and at which addresses.

use super::*;

#[tokio::test]
async fn a_submit_needs_a_key_an_endpoint_and_an_object() {
    let fal = Fal::start().await;
    let submit = async |key: Option<&str>, path: &str, body: &'static str| {
        let mut call = fal.http.post(fal.url(path)).body(body);
        if let Some(key) = key {
            call = call.header("authorization", key);
        }
        call.send().await.unwrap().status().as_u16()
    };
    let path = format!("queue/{PICTURE}");
    assert_eq!(submit(None, &path, "{}").await, 401);
    assert_eq!(submit(Some("Bearer id:secret"), &path, "{}").await, 401);
    assert_eq!(submit(Some("Key secret"), &path, "{}").await, 401);
    assert_eq!(submit(Some("Key :secret"), &path, "{}").await, 401);
    assert_eq!(submit(Some(KEY), "queue/fal-ai/unknown", "{}").await, 404);
    assert_eq!(submit(Some(KEY), &path, "[]").await, 400);
    assert_eq!(submit(Some(KEY), &path, "{").await, 400);
    assert_eq!(fal.submissions(), 0);
    let refused = fal.events(|event| match event {
        Event::SubmitRefused { http_status, .. } => Some(*http_status),
        _ => None,
    });
    assert_eq!(refused, [401, 401, 401, 401, 404, 400, 400]);
}

#[tokio::test]
async fn a_revoked_key_is_401_and_a_locked_account_still_reads() {
    let fal = Fal::start().await;
    let submitted = fal.submit(PICTURE, &json!({ "prompt": "p" })).await;
    fal.settings(&json!({ "locked": "Exhausted balance" })).await;
    let answer = fal
        .post(&format!("queue/{PICTURE}"), &json!({ "prompt": "p" }))
        .await;
    assert_eq!(answer.status(), 403);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("User is locked. Reason: Exhausted balance.")
    );
    let announced = json!({ "file_name": "a.zip", "content_type": "application/zip" });
    for (path, body) in [
        ("rest/storage/upload/initiate?storage_type=fal-cdn-v3", &announced),
        (
            "rest/storage/upload/initiate-multipart?storage_type=fal-cdn-v3",
            &announced,
        ),
        ("rest/storage/auth/token?storage_type=fal-cdn-v3", &json!({})),
        ("cdn/files/upload", &json!({})),
        (&format!("run/{PICTURE}"), &json!({ "prompt": "p" })),
    ] {
        assert_eq!(fal.post(path, body).await.status(), 403, "{path}");
    }
    fal.ended(&submitted).await;
    assert_eq!(fal.result_of(&submitted).await.0, 200);

    fal.settings(&json!({ "locked": null, "revoked_key_ids": ["id"] }))
        .await;
    let answer = fal
        .post(&format!("queue/{PICTURE}"), &json!({ "prompt": "p" }))
        .await;
    assert_eq!(answer.status(), 401);
    let unknown = fal
        .post("__sim/settings", &json!({ "request_duration": 1 }))
        .await;
    assert_eq!(unknown.status(), 400, "a setting that does not exist");
}

#[tokio::test]
async fn fals_own_host_names_win_over_prefixes() {
    let fal = Fal::start().await;
    let ask = async |host: &str, path: &str, proto: Option<&str>| -> Value {
        let mut call = fal
            .ask(Method::POST, path)
            .header("host", host)
            .json(&json!({ "prompt": "p" }));
        if let Some(proto) = proto {
            call = call.header("x-forwarded-proto", proto);
        }
        call.send().await.unwrap().json().await.unwrap()
    };
    let behind_tls = ask("queue.fal.run", PICTURE, None).await;
    assert!(
        behind_tls["status_url"]
            .as_str()
            .unwrap()
            .starts_with("https://queue.fal.run/fal-ai/flux-lora/requests/")
    );
    let by_hosts_file = ask("queue.falrun.com:9700", PICTURE, None).await;
    assert!(
        by_hosts_file["status_url"]
            .as_str()
            .unwrap()
            .starts_with("http://queue.fal.run:9700/fal-ai/")
    );
    let token = ask(
        "rest.fal.ai",
        "storage/auth/token?storage_type=fal-cdn-v3",
        Some("https"),
    )
    .await;
    assert_eq!(token["base_url"], "https://v3.fal.media");
    assert_eq!(fal.get("nowhere/x").await.status(), 404);
}

#[tokio::test]
async fn a_public_base_stands_in_all_urls() {
    let config = FalSimulatorConfig {
        public_base: Some("https://fal.example/sim/".to_owned()),
        ..Default::default()
    };
    let fal = Fal::with(config).await;
    let submitted = fal.submit(PICTURE, &json!({ "prompt": "p" })).await;
    assert!(
        submitted["cancel_url"]
            .as_str()
            .unwrap()
            .starts_with("https://fal.example/sim/queue/fal-ai/flux-lora/")
    );
}
