//! Which bodies and URLs are accepted (W9, K15).

use ed25519_dalek::SigningKey;
use reqwest::StatusCode;
use serde_json::json;

use super::{PATH, REQUEST, jobs, post, stored, web_that_believes};
use crate::support::{Db, FalSigner};

#[tokio::test]
async fn w09_a_signed_body_that_is_no_delivery_is_refused() {
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
async fn w09_a_huge_delivery_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    let padded = |bytes: usize| {
        let body = json!({"request_id": REQUEST, "status": "OK", "payload": {"padding": ""}}).to_string();
        body.replace(
            "\"padding\":\"\"",
            &format!("\"padding\":\"{}\"", "x".repeat(bytes - body.len())),
        )
    };
    let limit = 1 << 18;
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
        // Characters that Postgres cannot store are removed, and the delivery is kept.
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
async fn only_post_is_answered() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    assert_eq!(web.get(PATH).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(web.get("/api/v1/avatar").await.status(), StatusCode::NOT_FOUND);
}
