//! `/readyz` is public, so frequent requests must be cheap for us.

use super::{metric, web};
use crate::support::{Db, FalSigner, eventually};

#[tokio::test]
async fn two_hundred_probes_at_once_are_one_look() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[]).await;
    let address = web.url("").replace("http://", "");
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("lock table _sqlx_migrations in access exclusive mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    let probes = (0..200).map(|_| web.client.get(web.url("/readyz")).send());
    let probes = tokio::spawn(futures::future::join_all(probes));
    eventually("all have come", async || {
        (metric(&address, "aisha_connections_open").await >= 200).then_some(())
    })
    .await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let looks = eventually("a look", async || {
        let looks: i64 = sqlx::query_scalar(waiting).fetch_one(&db.pool).await.unwrap();
        (looks > 0).then_some(looks)
    })
    .await;
    assert_eq!(looks, 1);
    tx.rollback().await.unwrap();
    for answer in probes.await.unwrap() {
        answer.expect("an answer");
    }
    eventually("it is ready", async || {
        web.get("/readyz").await.status().is_success().then_some(())
    })
    .await;
}
