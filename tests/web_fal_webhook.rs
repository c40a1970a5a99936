//! FAL's deliveries at the web role's door: what is believed, what is stored, and what a 200 promises.

use ed25519_dalek::SigningKey;
use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use crate::support::{Db, Delivery, FAL_USER, FalSigner, Web, eventually};

const PATH: &str = "/api/v1/avatar/status_update";
const REQUEST: &str = "764cabcf-b745-4b3e-ae38-1200304cf45b";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A web role that believes `signer`.
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

/// Jobs that will apply a delivery, each with a delivery that exists.
async fn jobs(db: &PgPool) -> i64 {
    let query = "select count(*) from jobs join fal_deliveries on fal_deliveries.id = (payload->>'delivery_id')::bigint \
                 where kind = 'apply_fal_delivery'";
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

/// What is kept of a delivery.
type Row = (
    String,
    Vec<u8>,
    Option<String>,
    Option<String>,
    String,
    Vec<String>,
    bool,
);

#[tokio::test]
async fn a_signed_delivery_is_stored_byte_for_byte_with_its_job() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    // Neither sorted nor compact: only the very bytes fit the signature.
    let body = format!(
        "{{ \"status\":\"OK\" ,\"request_id\": \"{REQUEST}\", \"payload\": {{\"finetune_id\":\"ф-1\"}} }}\n"
    );
    let query = format!("?training_type=style&token={TOKEN}");
    assert_eq!(
        post(&web, &query, &signer.sign(REQUEST, body.clone())).await,
        StatusCode::OK
    );

    let query = "select request_id, body, training_type, token, fal_user_id, flags, applied_at is null from fal_deliveries";
    let row: Row = sqlx::query_as(query).fetch_one(&db.pool).await.unwrap();
    let expected = (
        REQUEST.into(),
        body.into_bytes(),
        Some("style".into()),
        Some(TOKEN.into()),
        FAL_USER.into(),
        vec![],
        true,
    );
    assert_eq!(row, expected);
    assert_eq!(jobs(&db.pool).await, 1);
    web.process.line("was answered 200").await;
    assert!(
        !web.process.output().contains(TOKEN),
        "a token stands in the log:\n{}",
        web.process.output()
    );
}

#[tokio::test]
async fn fifty_deliveries_at_once_are_one_row_and_all_get_200() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let delivery = signer.sign(REQUEST, succeeded());
    let posts = (0..50).map(|_| post(&web, "?training_type=portrait", &delivery));
    let answers = futures::future::join_all(posts).await;
    assert_eq!(answers, vec![StatusCode::OK; 50]);
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (1, 1));
}

#[tokio::test]
async fn an_error_after_an_ok_is_stored_too() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let failed = json!({"request_id": REQUEST, "status": "ERROR", "error": "x", "payload": {"detail": "y"}})
        .to_string();
    for body in [succeeded(), failed] {
        assert_eq!(
            post(&web, "?training_type=portrait", &signer.sign(REQUEST, body)).await,
            StatusCode::OK
        );
    }
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (2, 2));
}

#[tokio::test]
async fn a_killed_web_role_has_stored_what_it_answered_200() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let mut web = web_that_believes(&signer, &db).await;
    assert_eq!(
        post(
            &web,
            "?training_type=portrait",
            &signer.sign(REQUEST, succeeded())
        )
        .await,
        StatusCode::OK
    );
    web.process.kill();
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (1, 1));
}

#[tokio::test]
async fn a_forged_delivery_is_refused_and_not_stored() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let genuine = signer.sign(REQUEST, succeeded());
    let change = |change: &dyn Fn(&mut Delivery)| {
        let mut delivery = genuine.clone();
        change(&mut delivery);
        delivery
    };
    let forgeries = [
        (
            "another key",
            change(&|it| it.sign_with(&SigningKey::from_bytes(&[8; 32]))),
        ),
        ("an edited body", change(&|it| it.body.push(b' '))),
        (
            "another request in the header",
            change(&|it| it.request_id = "other".into()),
        ),
        (
            "another user in the header",
            change(&|it| it.user_id = "github|1".into()),
        ),
        (
            "another time in the header",
            change(&|it| it.timestamp.replace_range(..1, "2")),
        ),
        ("no number as time", change(&|it| it.timestamp.push('x'))),
        (
            "a signature that is no hex",
            change(&|it| it.signature.replace_range(..2, "zz")),
        ),
        (
            "a signature that is cut off",
            change(&|it| it.signature.truncate(64)),
        ),
        ("too old", signer.sign_at(-310, REQUEST, succeeded())),
        ("from the future", signer.sign_at(310, REQUEST, succeeded())),
    ];
    for (what, delivery) in forgeries {
        assert_eq!(
            post(&web, "?training_type=portrait", &delivery).await,
            StatusCode::UNAUTHORIZED,
            "{what}"
        );
    }
    let headers =
        ["Request-Id", "User-Id", "Timestamp", "Signature"].map(|part| format!("X-Fal-Webhook-{part}"));
    for missing in headers {
        let mut request = genuine.on(web.client.post(web.url(PATH))).build().unwrap();
        request.headers_mut().remove(&missing);
        assert_eq!(
            web.client.execute(request).await.unwrap().status(),
            StatusCode::UNAUTHORIZED,
            "without {missing}"
        );
    }
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (0, 0));
}

#[tokio::test]
async fn a_delivery_within_the_leeway_is_taken() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    for seconds in [-280, 280] {
        let delivery = signer.sign_at(seconds, REQUEST, succeeded());
        assert_eq!(
            post(&web, "?training_type=portrait", &delivery).await,
            StatusCode::OK,
            "{seconds} s off"
        );
    }
}

#[tokio::test]
async fn a_delivery_for_another_user_of_fals_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let strict = Web::start(
        &db,
        &[
            ("FAL_JWKS_URL", signer.jwks_url()),
            ("FAL_WEBHOOK_USER_ID", "github|1"),
        ],
    )
    .await;
    let delivery = signer.sign(REQUEST, succeeded());
    assert_eq!(post(&strict, "", &delivery).await, StatusCode::UNAUTHORIZED);
    assert_eq!(stored(&db.pool).await, 0);

    let lenient = Web::start(&db, &[("FAL_JWKS_URL", signer.jwks_url())]).await;
    assert_eq!(post(&lenient, "", &delivery).await, StatusCode::OK);
}

#[tokio::test]
async fn a_signed_body_that_is_no_delivery_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let bodies = [
        "",
        "garbage",
        "[]",
        "null",
        "{}",
        r#"{"request_id":7}"#,
        r#"{"request_id":"another","status":"OK"}"#,
    ];
    for body in bodies {
        assert_eq!(
            post(&web, "", &signer.sign(REQUEST, body)).await,
            StatusCode::BAD_REQUEST,
            "{body:?}"
        );
    }
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, vec![0xff; 100])).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(stored(&db.pool).await, 0);
}

#[tokio::test]
async fn a_huge_delivery_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let padded = |bytes: usize| {
        let body = json!({"request_id": REQUEST, "status": "OK", "payload": {"padding": ""}}).to_string();
        body.replace(
            "\"padding\":\"\"",
            &format!("\"padding\":\"{}\"", "x".repeat(bytes - body.len())),
        )
    };
    let limit = 1 << 20;
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, padded(limit + 1))).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(stored(&db.pool).await, 0);
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, padded(limit))).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_incumbents_shape_is_stored_under_the_same_verification() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let body = json!({"request_id": REQUEST, "status": "completed", "result": {"finetune_id": "test123"}})
        .to_string();
    let genuine = signer.sign(REQUEST, body);
    let mut forged = genuine.clone();
    forged.sign_with(&SigningKey::from_bytes(&[8; 32]));
    assert_eq!(
        post(&web, "?training_type=style", &forged).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(stored(&db.pool).await, 0);
    assert_eq!(post(&web, "?training_type=style", &genuine).await, StatusCode::OK);
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (1, 1));
}

#[tokio::test]
async fn a_missing_or_unknown_training_type_is_stored_and_flagged() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let cases = [
        ("", None, "training_type_missing"),
        ("?training_type=", None, "training_type_missing"),
        (
            "?training_type=protrait",
            Some("protrait"),
            "training_type_unknown",
        ),
        // What Postgres cannot store is left out, and the delivery is kept all the same.
        (
            "?training_type=a%00b&training_type=style&token=%00&%ff=%ff",
            Some("ab"),
            "training_type_unknown",
        ),
    ];
    for (number, (query, kept, flag)) in cases.into_iter().enumerate() {
        let request = format!("{REQUEST}-{number}");
        let body = json!({"request_id": request, "status": "OK", "payload": null}).to_string();
        assert_eq!(
            post(&web, query, &signer.sign(&request, body)).await,
            StatusCode::OK,
            "{query}"
        );
        let find = "select training_type, flags from fal_deliveries where request_id = $1";
        let row: (Option<String>, Vec<String>) = sqlx::query_as(find)
            .bind(&request)
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(row, (kept.map(str::to_owned), vec![flag.to_owned()]), "{query}");
    }
}

#[tokio::test]
async fn without_any_key_of_fals_the_answer_is_503() {
    let (db, signer) = (Db::new().await, FalSigner::without_keys().await);
    let web = web_that_believes(&signer, &db).await;
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, succeeded())).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(stored(&db.pool).await, 0);
}

#[tokio::test]
async fn a_database_that_is_down_is_never_answered_200() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let variables = [
        ("FAL_JWKS_URL", signer.jwks_url()),
        ("AISHA__DATABASE__ACQUIRE_TIMEOUT", "500ms"),
        ("FAL_WEBHOOK_USER_ID", FAL_USER),
    ];
    let web = Web::start(&db, &variables).await;
    let outage = db.outage().await;
    let delivery = signer.sign(REQUEST, succeeded());
    assert_eq!(post(&web, "", &delivery).await, StatusCode::SERVICE_UNAVAILABLE);
    outage.end().await;
    // FAL sends again, and a web role that never restarted takes it.
    eventually("the delivery to be stored", async || {
        let again = signer.sign(REQUEST, succeeded());
        (post(&web, "", &again).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(stored(&db.pool).await, 1);
}

#[tokio::test]
async fn a_database_that_hangs_is_answered_503_in_bounded_time() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let variables = [
        ("FAL_JWKS_URL", signer.jwks_url()),
        ("AISHA__WEB__REQUEST_TIMEOUT", "500ms"),
    ];
    let web = Web::start(&db, &variables).await;
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("lock table fal_deliveries in access exclusive mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, succeeded())).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    tx.rollback().await.unwrap();
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, succeeded())).await,
        StatusCode::OK
    );
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (1, 1));
}

#[tokio::test]
async fn only_post_is_answered() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    assert_eq!(web.get(PATH).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(web.get("/api/v1/avatar").await.status(), StatusCode::NOT_FOUND);
}
