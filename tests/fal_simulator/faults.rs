//! Scripted faults and holds. `control.rs` tests scripting over HTTP.

use aisha::simulators::fal::faults::When;

use super::*;

fn answer(status: u16, body: Value) -> Effect {
    Effect::Answer {
        status,
        headers: std::collections::BTreeMap::default(),
        body,
    }
}

#[tokio::test]
async fn a_submit_can_be_accepted_and_its_answer_lost() {
    let fal = Fal::start().await;
    let submit = async || {
        fal.ask(Method::POST, &format!("queue/{PICTURE}"))
            .json(&prompt())
            .send()
            .await
    };

    fal.fault(Operation::Submit, Effect::Close {});
    let lost = submit().await.unwrap_err();
    assert!(
        !lost.is_connect(),
        "the connection was there, the answer was not: {lost:?}"
    );
    assert_eq!(fal.submissions(), 1);

    fal.sim
        .script(Fault {
            when: Some(When::Before),
            ..Fault::new(Operation::Submit, Effect::Close {})
        })
        .unwrap();
    submit().await.unwrap_err();
    assert_eq!(fal.submissions(), 1, "cut before it was accepted");

    fal.sim
        .script(Fault {
            when: Some(When::After),
            ..Fault::new(Operation::Submit, answer(502, json!("<html>nginx</html>")))
        })
        .unwrap();
    let html = submit().await.unwrap();
    assert_eq!(
        (
            html.status().as_u16(),
            html.headers()["content-type"].to_str().unwrap()
        ),
        (502, "text/html")
    );
    assert_eq!(fal.submissions(), 2, "accepted, whatever the answer says");

    fal.fault(Operation::Submit, answer(200, json!("{\"request_id\": ")));
    assert!(submit().await.unwrap().json::<Value>().await.is_err(), "garbage");
    assert_eq!(fal.submissions(), 2);
    assert_eq!(submit().await.unwrap().status(), 200);
    assert_eq!(fal.submissions(), 3);
}

#[tokio::test]
async fn an_answer_is_withheld_until_it_is_released() {
    let fal = Fal::start().await;
    fal.fault(
        Operation::Submit,
        Effect::Hold {
            until_delivered: false,
        },
    );
    assert!(!fal.sim.holds_an_answer());
    let input = prompt();
    let (submitted, held) = tokio::join!(fal.submit(PICTURE, &input), async {
        let held = fal.sim.held(1).await.unwrap();
        assert!(fal.sim.holds_an_answer());
        assert_eq!(fal.submissions(), 1, "accepted before the answer");
        assert_eq!(fal.sim.release(), 1);
        held
    });
    assert_eq!(held[0].operation, Operation::Submit);
    assert_eq!(held[0].endpoint.as_deref(), Some(PICTURE));
    assert_eq!(submitted["request_id"], held[0].request_id.unwrap().to_string());
    assert!(!fal.sim.holds_an_answer());
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_nothing_held() {
    let fal = Fal::start().await;
    fal.fault(
        Operation::Submit,
        Effect::Hold {
            until_delivered: false,
        },
    );
    let call = fal
        .ask(Method::POST, &format!("queue/{PICTURE}"))
        .json(&prompt())
        .send();
    tokio::select! {
        _ = call => panic!("it was to be withheld"),
        held = fal.sim.held(1) => assert_eq!(held.unwrap().len(), 1),
    }
    // The caller's connection is gone; the simulator notices when its socket reports that.
    let gone = async {
        while fal.sim.holds_an_answer() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("the hold ends with its caller");
    assert_eq!(fal.submissions(), 1);
}

#[tokio::test]
async fn answers_to_the_dead_are_cut_and_stuck_runs_stay_stuck() {
    let fal = Fal::start().await;
    fal.fault(Operation::Execution, Effect::StuckInQueue {});
    fal.fault(
        Operation::Status,
        Effect::Hold {
            until_delivered: false,
        },
    );
    let submitted = fal.submit(PICTURE, &prompt()).await;
    fal.sim.held(1).await.unwrap();
    let status = fal
        .ask(Method::GET, submitted["status_url"].as_str().unwrap())
        .send();
    let (answer, cut) = tokio::join!(status, async {
        fal.sim.held(2).await.unwrap();
        fal.sim.release_answers_by_closing()
    });
    assert!(answer.is_err());
    assert_eq!(cut, 1);
    assert_eq!(fal.status_of(&submitted).await.1["status"], "IN_QUEUE");
    assert_eq!(fal.sim.release(), 1);
    fal.ended(&submitted).await;
}

#[tokio::test]
async fn faults_count_their_matches() {
    let fal = Fal::start().await;
    let unavailable = || answer(503, json!({ "detail": "busy" }));
    fal.sim
        .script(Fault {
            nth: 2,
            times: 2,
            ..Fault::new(Operation::Jwks, unavailable())
        })
        .unwrap();
    fal.sim
        .script(Fault {
            times: 0,
            contains: Some("v1/meta".to_owned()),
            ..Fault::new(Operation::Meta, unavailable())
        })
        .unwrap();
    let other = Fault {
        endpoint: Some(PORTRAIT.to_owned()),
        ..Fault::new(Operation::Submit, unavailable())
    };
    fal.sim.script(other).unwrap();

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(fal.get("rest/.well-known/jwks.json").await.status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 503, 200, 200]);
    for _ in 0..3 {
        assert_eq!(fal.get("api/v1/meta").await.status(), 503);
    }
    assert_eq!(
        fal.get(&format!("api/v1/models/pricing?endpoint_id={PICTURE}"))
            .await
            .status(),
        200
    );
    fal.submit(PICTURE, &prompt()).await;
    fal.sim.clear_faults();
    assert_eq!(fal.get("api/v1/meta").await.status(), 200);

    fal.fault(Operation::Meta, answer(500, Value::Null));
    fal.fault(Operation::Meta, answer(501, Value::Null));
    for status in [500, 501, 200] {
        assert_eq!(
            fal.get("api/v1/meta").await.status(),
            status,
            "one-time faults strike in a row"
        );
    }
}

#[tokio::test]
async fn an_answer_may_be_late_or_carry_headers() {
    let fal = Fal::start().await;
    let headers = [("retry-after".to_owned(), "7".to_owned())].into();
    fal.fault(
        Operation::Submit,
        Effect::Answer {
            status: 429,
            headers,
            body: json!({ "detail": "slow down" }),
        },
    );
    let limited = fal.post(&format!("queue/{PICTURE}"), &prompt()).await;
    assert_eq!(
        (
            limited.status().as_u16(),
            limited.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "7")
    );

    fal.fault(Operation::Submit, Effect::Delay { ms: 600_000 });
    let input = prompt();
    tokio::select! {
        _ = fal.submit(PICTURE, &input) => panic!("it was to be late"),
        _ = fal.wait_for("the submission", |it| matches!(it.event, Event::Submitted { .. })) => {}
    }
    fal.fault(Operation::Submit, Effect::Delay { ms: 30 });
    let asked = std::time::Instant::now();
    fal.submit(PICTURE, &input).await;
    assert!(asked.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn a_request_can_end_badly_in_every_way() {
    let fal = Fal::start().await;
    for (status, body) in [
        (
            422,
            json!({ "detail": [{ "loc": ["body"], "msg": "no", "type": "content_policy_violation" }] }),
        ),
        (500, json!({ "detail": "boom", "error_type": "internal_error" })),
        (
            504,
            json!({ "detail": "Request timed out", "error_type": "request_timeout" }),
        ),
    ] {
        fal.fault(
            Operation::Execution,
            Effect::Fail {
                status,
                body: body.clone(),
            },
        );
        let submitted = fal.submit(PICTURE, &prompt()).await;
        fal.ended(&submitted).await;
        let (code, told) = fal.status_of(&submitted).await;
        assert_eq!(
            (code.as_u16(), &told["status"]),
            (200, &json!("COMPLETED")),
            "never FAILED"
        );
        assert_eq!(
            told.get("error_type"),
            body.get("error_type"),
            "a model error has no type of FAL's"
        );
        assert!(told["error"].is_string(), "{told}");
        let result = fal.result_of(&submitted).await;
        assert_eq!((result.0.as_u16(), result.1), (status, body));
    }
    fal.fault(Operation::Execution, Effect::ExpiredResult {});
    assert_eq!(fal.result(PICTURE, &prompt()).await.0, 404);
    fal.fault(
        Operation::Execution,
        Effect::Output {
            body: json!({ "images": [] }),
        },
    );
    assert_eq!(
        fal.result(PICTURE, &prompt()).await,
        (StatusCode::OK, json!({ "images": [] }))
    );
    fal.fault(Operation::Execution, Effect::Nsfw { first: None });
    let (status, black) = fal.result(PICTURE, &prompt()).await;
    assert_eq!(
        (status.as_u16(), &black["has_nsfw_concepts"]),
        (200, &json!([true]))
    );
    let picture =
        image::load_from_memory(&fal.bytes(black["images"][0]["url"].as_str().unwrap()).await).unwrap();
    assert!(picture.to_rgb8().pixels().all(|pixel| pixel.0 == [0; 3]));
}

#[tokio::test]
async fn a_file_can_be_gone_empty_a_page_or_cut_short() {
    let fal = Fal::start().await;
    let url = fal
        .upload("x.bin", "application/octet-stream", vec![7; 100_000])
        .await;
    let get = async || fal.http.get(&url).send().await.unwrap();

    fal.fault(
        Operation::Download,
        answer(404, json!({ "detail": "File not found" })),
    );
    assert_eq!(get().await.status(), 404);
    fal.fault(Operation::Download, answer(200, Value::Null));
    assert_eq!(get().await.bytes().await.unwrap().len(), 0);
    fal.fault(Operation::Download, answer(200, json!("<html>expired</html>")));
    assert!(get().await.text().await.unwrap().starts_with("<html>"));
    fal.fault(Operation::Download, Effect::Truncate { bytes: 60_000 });
    let mut short = get().await;
    assert_eq!(short.content_length(), Some(100_000));
    let mut received = 0;
    while let Ok(Some(chunk)) = short.chunk().await {
        received += chunk.len();
    }
    assert_eq!(received, 60_000);
    assert_eq!(get().await.bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn uploads_fail_when_told_to() {
    let fal = Fal::start().await;
    let initiate = "rest/storage/upload/initiate?storage_type=fal-cdn-v3";
    let announced = json!({ "file_name": "x.zip", "content_type": "application/zip" });
    fal.fault(Operation::Initiate, answer(500, json!("<html>nginx</html>")));
    assert_eq!(fal.post(initiate, &announced).await.status(), 500);
    let urls: Value = fal.post(initiate, &announced).await.json().await.unwrap();
    let put = async || {
        let call = fal
            .http
            .put(urls["upload_url"].as_str().unwrap())
            .header("content-type", "application/zip");
        call.body("x").send().await.unwrap().status().as_u16()
    };
    fal.fault(Operation::Upload, answer(403, json!({ "detail": "expired" })));
    assert_eq!([put().await, put().await], [403, 200]);
}
