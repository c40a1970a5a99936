//! Which deliveries are accepted: signed by FAL, recently, for our user (W1, W2, W10).

use ed25519_dalek::SigningKey;
use reqwest::StatusCode;
use serde_json::json;

use super::{PATH, REQUEST, jobs, post, stored, succeeded, web_that_believes};
use crate::support::{Db, Delivery, FalSigner, Web, eventually};

#[tokio::test]
async fn w01_a_forged_delivery_is_refused_and_not_stored() {
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
async fn w01_a_delivery_for_another_user_of_fals_is_refused() {
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
async fn w02_a_delivery_more_than_five_minutes_off_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    for seconds in [-310, 310, -86_400] {
        let delivery = signer.sign_at(seconds, REQUEST, succeeded());
        assert_eq!(
            post(&web, "?training_type=portrait", &delivery).await,
            StatusCode::UNAUTHORIZED,
            "{seconds} s off"
        );
    }
    assert_eq!((stored(&db.pool).await, jobs(&db.pool).await), (0, 0));
}

#[tokio::test]
async fn w02_a_delivery_within_the_leeway_is_taken() {
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
async fn w10_without_any_key_the_answer_is_503_until_there_is_one() {
    let (db, signer) = (Db::new().await, FalSigner::without_keys().await);
    let web = web_that_believes(&signer, &db).await;
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, succeeded())).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(stored(&db.pool).await, 0);
    signer.publish_keys();
    eventually("the delivery to be believed", async || {
        let again = signer.sign(REQUEST, succeeded());
        (post(&web, "", &again).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(stored(&db.pool).await, 1);
}

#[tokio::test]
async fn w10_while_fals_key_set_is_down_the_key_from_the_cache_works() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web_that_believes(&signer, &db).await;
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, succeeded())).await,
        StatusCode::OK
    );
    signer.withdraw_keys();
    let failed = json!({"request_id": REQUEST, "status": "ERROR", "error": "x", "payload": null}).to_string();
    let mut forged = signer.sign(REQUEST, failed.clone());
    forged.sign_with(&SigningKey::from_bytes(&[8; 32]));
    assert_eq!(post(&web, "", &forged).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        post(&web, "", &signer.sign(REQUEST, failed)).await,
        StatusCode::OK
    );
    assert_eq!(stored(&db.pool).await, 2);
}
