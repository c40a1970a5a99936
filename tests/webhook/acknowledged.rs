//! What a 200 promises, and what it does not wait for (W3, W6, W7, W8, W13).

use reqwest::StatusCode;
use serde_json::json;

use super::{REQUEST, Row, TOKEN, jobs, post, stored, succeeded, web_that_believes};
use crate::support::{Db, FAL_USER, FalSigner, Web, eventually};

#[tokio::test]
async fn a_signed_delivery_is_stored_byte_for_byte_with_its_job() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    // Neither sorted nor compact: only these exact bytes match the signature.
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
async fn w03_fifty_deliveries_at_once_are_one_row_and_all_get_200() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let delivery = signer.sign(REQUEST, succeeded());
    let posts = (0..50).map(|_| post(&web, "?training_type=portrait", &delivery));
    let answers = futures::future::join_all(posts).await;
    assert_eq!(answers, vec![StatusCode::OK; 50]);
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (1, 1));
}

#[tokio::test]
async fn w06_an_error_after_an_ok_is_stored_too() {
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
async fn w07_a_killed_web_role_has_stored_what_it_answered_200() {
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
async fn w08_a_database_that_is_down_is_never_answered_200() {
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
    // FAL sends it again, and the web role accepts it without a restart.
    eventually("the delivery to be stored", async || {
        let again = signer.sign(REQUEST, succeeded());
        (post(&web, "", &again).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(stored(&db.pool).await, 1);
}

#[tokio::test]
async fn w08_a_database_that_hangs_is_answered_503_in_bounded_time() {
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

/// All tables after the inbox are locked, and the servers that the job would call do not exist: the answer does not
/// wait.
#[tokio::test]
async fn w13_a_delivery_is_answered_before_any_work_is_done() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let mut tx = db.pool.begin().await.unwrap();
    let downstream = [
        "lock table users, avatars, avatar_photos, training_attempts, notifications in access exclusive mode",
        // A weaker lock, because the inbox's foreign key locks this table even for a row without a training.
        "lock table trainings in share row exclusive mode",
    ];
    for lock in downstream {
        sqlx::query(lock).execute(&mut *tx).await.unwrap();
    }
    let posts = (0..50).map(async |number| {
        let request = format!("{REQUEST}-{number}");
        let body = json!({"request_id": request, "status": "OK", "payload": {"diffusers_lora_file": {"url": "http://127.0.0.1:9/a"}}});
        post(&web, "?training_type=portrait", &signer.sign(&request, body.to_string())).await
    });
    assert_eq!(futures::future::join_all(posts).await, vec![StatusCode::OK; 50]);
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (50, 50));
    tx.rollback().await.unwrap();
    let untouched =
        "select count(*) from jobs where state <> 'ready' or attempt > 0 or kind <> 'apply_fal_delivery'";
    let touched: i64 = sqlx::query_scalar(untouched).fetch_one(&db.pool).await.unwrap();
    assert_eq!(touched, 0, "the work is a worker's");
}
