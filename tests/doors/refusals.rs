//! Refusals are counted one by one and logged together.

use reqwest::StatusCode;

use super::{PATH, REQUEST, metric, web};
use crate::support::{Db, FalSigner};

#[tokio::test]
async fn a_flood_of_forgeries_is_counted_in_the_metrics_and_summed_up_in_the_log() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[]).await;
    let address = web.url("").replace("http://", "");
    let mut forged = signer.sign(REQUEST, "{}");
    forged.body = b"{ }".to_vec();
    let begun = std::time::Instant::now();
    let posts = (0..300).map(|_| forged.on(web.client.post(web.url(PATH))).send());
    for answer in futures::future::join_all(posts).await {
        assert_eq!(answer.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    }
    let seconds = begun.elapsed().as_secs() + 2;
    assert_eq!(metric(&address, "aisha_webhook_total").await, 300);
    web.process.line("were refused (1)").await;
    web.process.nth_line("were refused (", 2).await;
    let output = web.process.output();
    let lines = output
        .lines()
        .filter(|line| line.contains("refused") || line.contains("was answered"));
    let lines = lines.count() as u64;
    assert!(lines <= seconds + 1, "{lines} lines in {seconds} s:\n{output}");
}

#[tokio::test]
async fn a_query_of_sixty_kilobytes_is_no_log_line_of_sixty_kilobytes() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[]).await;
    let body = format!(r#"{{"request_id":"{REQUEST}","status":"OK","payload":{{}}}}"#);
    let url = format!("{PATH}?training_type={}", "x".repeat(15_000));
    let post = signer.sign(REQUEST, body).on(web.client.post(web.url(&url)));
    assert_eq!(post.send().await.expect("an answer").status(), StatusCode::OK);
    let line = web.process.line("was answered 200").await;
    assert!(line.len() < 1_500, "{} bytes", line.len());
    let garbage = format!("{PATH}?{}", "x".repeat(60_000));
    let refused = web
        .client
        .post(web.url(&garbage))
        .send()
        .await
        .expect("an answer");
    assert!(refused.status().is_client_error(), "{}", refused.status());
    assert!(web.process.output().len() < 10_000);
}
