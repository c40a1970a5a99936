//! Submit, status, stream, result, cancel, and the synchronous API.

use super::*;

#[tokio::test]
async fn a_training_goes_from_the_queue_to_weights() {
    let fal = Fal::start().await;
    fal.fault(Operation::Execution, Effect::StuckInQueue {});
    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    let input = json!({ "images_data_url": fal.archive(10).await, "trigger_phrase": "TOK_1", "steps": 1000 });
    let submitted = fal.submit(PORTRAIT, &input).await;
    assert_eq!(submitted["status"], "IN_QUEUE");
    assert_eq!(submitted["queue_position"], 0);

    fal.sim.held(1).await.unwrap();
    let (code, status) = fal.status_of(&submitted).await;
    assert_eq!(
        (code.as_u16(), &status["status"], &status["queue_position"]),
        (202, &json!("IN_QUEUE"), &json!(0))
    );
    assert_eq!(fal.result_of(&submitted).await.0, 400, "asked too early");

    fal.sim.release();
    fal.sim.held(2).await.unwrap();
    let (code, status) = fal.status_of(&submitted).await;
    assert_eq!((code.as_u16(), &status["status"]), (202, &json!("IN_PROGRESS")));
    assert_eq!(
        status["logs"].as_array().unwrap().last().unwrap()["message"],
        "step 500/1000"
    );
    let without_logs: Value = fal
        .get(status["status_url"].as_str().unwrap())
        .await
        .json()
        .await
        .unwrap();
    assert!(without_logs["logs"].is_null());

    fal.sim.release();
    fal.ended(&submitted).await;
    let (code, status) = fal.status_of(&submitted).await;
    assert_eq!((code.as_u16(), &status["status"]), (200, &json!("COMPLETED")));
    assert!(status["metrics"]["inference_time"].as_f64().unwrap() > 0.0);
    let (code, result) = fal.result_of(&submitted).await;
    assert_eq!(code, 200);
    let file = &result["diffusers_lora_file"];
    let weights = fal.bytes(file["url"].as_str().unwrap()).await;
    assert_eq!(file["file_size"], weights.len());
    let (header, data) = safetensors(&weights);
    let ends = header
        .as_object()
        .unwrap()
        .values()
        .filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    assert_eq!(ends.max().unwrap(), data as u64);
    assert!(data > 100_000);
    assert!(
        !fal.bytes(result["config_file"]["url"].as_str().unwrap())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn each_trainer_and_each_picture_endpoint_has_its_own_output() {
    let fal = Fal::start().await;
    let url = fal.archive(10).await;
    let (_, style) = fal
        .result(
            STYLE,
            &json!({ "data_url": url, "finetune_comment": "c", "iterations": 300 }),
        )
        .await;
    assert_eq!(style["finetune_id"].as_str().unwrap().len(), 36);
    for trainer in [FAST, TURBO] {
        let (_, lora) = fal
            .result(trainer, &json!({ "images_data_url": url, "steps": 1000 }))
            .await;
        assert_eq!(
            lora["diffusers_lora_file"]["file_name"], "pytorch_lora_weights.safetensors",
            "{trainer}"
        );
    }
    let finetuned = json!({ "prompt": "p", "finetune_id": style["finetune_id"], "finetune_strength": 1.0, "seed": 196_619_188_014_358_660_u64 });
    let (_, picture) = fal.result(FINETUNED, &finetuned).await;
    assert_eq!(
        picture["seed"], 196_619_188_014_358_660_u64,
        "a seed above 2^53 keeps its digits"
    );
    let image = &picture["images"][0];
    let file = image::load_from_memory(&fal.bytes(image["url"].as_str().unwrap()).await).unwrap();
    assert_eq!(
        (json!(file.width()), json!(file.height())),
        (image["width"].clone(), image["height"].clone())
    );
}

#[tokio::test]
async fn all_forms_of_a_requests_url_lead_to_it() {
    let fal = Fal::start().await;
    let input = json!({ "prompt": "p", "finetune_id": "f", "finetune_strength": 1 });
    let submitted = fal.submit(FINETUNED, &input).await;
    fal.ended(&submitted).await;
    let id = submitted["request_id"].as_str().unwrap();
    let short = format!("{}/queue/fal-ai/flux-pro/requests/{id}", fal.sim.url());
    assert_eq!(submitted["response_url"], short.as_str());
    let full = format!("queue/{FINETUNED}/requests/{id}");
    for url in [
        short.clone(),
        format!("{short}/response"),
        full.clone(),
        format!("{full}/response"),
        format!("{full}/status"),
    ] {
        assert_eq!(fal.get(&url).await.status(), 200, "{url}");
    }
    for url in [
        format!("queue/fal-ai/flux-lora/requests/{id}"),
        format!("queue/{PORTRAIT}/requests/not-an-id/status"),
    ] {
        let answer = fal.get(&url).await;
        assert_eq!(answer.status(), 404, "{url}");
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({ "status": "NOT_FOUND" })
        );
    }
}

#[tokio::test]
async fn cancelling_depends_on_how_far_the_request_is() {
    let fal = Fal::start().await;
    let cancel = async |submitted: &Value| {
        let answer = fal
            .ask(Method::PUT, submitted["cancel_url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap()["status"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    let input = json!({ "prompt": "p" });

    fal.fault(Operation::Execution, Effect::StuckInQueue {});
    let queued = fal.submit(PICTURE, &input).await;
    fal.sim.held(1).await.unwrap();
    assert_eq!(cancel(&queued).await, (200, "OK".to_owned()));
    let (status, body) = fal.result_of(&queued).await;
    assert_eq!(
        (status.as_u16(), &body["error_type"]),
        (499, &json!("client_cancelled"))
    );
    assert_eq!(cancel(&queued).await, (400, "ALREADY_COMPLETED".to_owned()));

    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    let running = fal.submit(PICTURE, &input).await;
    fal.sim.held(2).await.unwrap();
    assert_eq!(cancel(&running).await, (202, "CANCELLATION_REQUESTED".to_owned()));
    fal.ended(&running).await;
    assert_eq!(fal.result_of(&running).await.0, 499);

    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    fal.fault(Operation::Execution, Effect::IgnoreCancel {});
    let stubborn = fal.submit(PICTURE, &input).await;
    fal.sim.held(3).await.unwrap();
    assert_eq!(cancel(&stubborn).await.0, 202);
    fal.sim.release();
    fal.ended(&stubborn).await;
    assert_eq!(
        fal.result_of(&stubborn).await.0,
        200,
        "acknowledged, and billed all the same"
    );

    let unknown = json!({ "cancel_url": format!("queue/{PICTURE}/requests/00000000-0000-4000-8000-000000000000/cancel") });
    assert_eq!(cancel(&unknown).await, (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_stream_tells_each_log_line_once_and_ends() {
    let fal = Fal::start().await;
    let submitted = fal.submit(PICTURE, &json!({ "prompt": "p" })).await;
    let url = format!("{}/stream?logs=1", submitted["status_url"].as_str().unwrap());
    let answer = fal.get(&url).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let events: Vec<Value> = answer
        .text()
        .await
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok())
        .collect();
    assert_eq!(events[0]["status"], "IN_QUEUE");
    assert_eq!(events.last().unwrap()["status"], "COMPLETED");
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| event["logs"].as_array())
        .flatten()
        .map(|line| &line["message"])
        .collect();
    assert_eq!(lines.len(), 20);
    assert_eq!(lines[19], "step 28/28");
}

#[tokio::test]
async fn the_synchronous_api_answers_with_the_result() {
    let fal = Fal::with(FalSimulatorConfig {
        concurrency: Some(1),
        ..Default::default()
    })
    .await;
    let answer = fal
        .post(
            &format!("run/{PICTURE}"),
            &json!({ "prompt": "p", "output_format": "png", "sync_mode": true }),
        )
        .await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-fal-request-id"));
    let body: Value = answer.json().await.unwrap();
    assert!(
        body["images"][0]["url"]
            .as_str()
            .unwrap()
            .starts_with("data:image/png;base64,")
    );
    assert_eq!(
        fal.post(&format!("run/{PICTURE}"), &json!({})).await.status(),
        422
    );

    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    fal.submit(PICTURE, &json!({ "prompt": "p" })).await;
    fal.sim.held(1).await.unwrap();
    let busy = fal
        .post(&format!("run/{PICTURE}"), &json!({ "prompt": "p" }))
        .await;
    assert_eq!(
        (
            busy.status().as_u16(),
            busy.headers()["x-fal-needs-retry"].to_str().unwrap()
        ),
        (429, "1")
    );
}

#[tokio::test]
async fn only_so_many_requests_run_at_once() {
    let fal = Fal::with(FalSimulatorConfig {
        concurrency: Some(1),
        ..Default::default()
    })
    .await;
    fal.fault(Operation::Execution, Effect::StuckInProgress {});
    let input = json!({ "prompt": "p" });
    let first = fal.submit(PICTURE, &input).await;
    fal.sim.held(1).await.unwrap();
    let second = fal.submit(PICTURE, &input).await;
    let third = fal.submit(PICTURE, &input).await;
    assert_eq!(
        (&second["queue_position"], &third["queue_position"]),
        (&json!(0), &json!(1))
    );
    let full = fal
        .post(&format!("queue/{PICTURE}?fal_max_queue_length=1"), &input)
        .await;
    assert_eq!(full.status(), 429);

    let patient = fal.ask(Method::POST, &format!("queue/{PICTURE}")).json(&input);
    let impatient = patient
        .header("x-fal-request-start-timeout", "0.2")
        .send()
        .await
        .unwrap();
    let impatient: Value = impatient.json().await.unwrap();
    fal.ended(&impatient).await;
    let answer = fal.get(impatient["response_url"].as_str().unwrap()).await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["x-fal-request-timeout-type"].to_str().unwrap()
        ),
        (504, "user")
    );

    fal.sim.release();
    for request in [&first, &second, &third] {
        fal.ended(request).await;
    }
    let mut running = Vec::new();
    for entry in fal.sim.ledger() {
        match entry.event {
            Event::RunStarted { request_id } => running.push(request_id),
            Event::RunEnded { request_id, .. } => running.retain(|id| *id != request_id),
            _ => {}
        }
        assert!(running.len() <= 1, "{running:?} ran at once");
    }
}
