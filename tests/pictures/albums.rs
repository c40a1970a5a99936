//! An album: one message for what was asked for, however many requests it took.

use aisha::simulators::{
    fal::faults::Effect,
    telegram::{Fault, FaultAction, LedgerFilter},
};
use jobs::{GenerateImages, NotifyUser};
use serde_json::json;

use super::world::Studio;
use crate::notify_user::effects;

#[tokio::test]
async fn an_album_of_several_generations_is_delivered_once() {
    let studio = Studio::asked().await;
    studio.another(2).await;
    studio.jobs.drain().await;
    studio.pictures_are_made().await;
    studio.jobs.drain_through_time().await;
    assert_eq!(studio.album_status().await, "ready");
    assert_eq!(studio.asked_for().len(), 2);
    assert_eq!(studio.albums_written().await, 1);
    assert_eq!(
        studio
            .count("select jsonb_array_length(message -> 'pictures')::bigint from notifications where message ? 'pictures'")
            .await,
        4
    );
}

#[tokio::test]
async fn an_album_whose_second_request_fails_is_delivered_with_what_there_is() {
    let studio = Studio::asked().await;
    studio.another(2).await;
    studio
        .change("update generations set trainer = 'gone' where number = 2")
        .await;
    studio.jobs.drain().await;
    studio.jobs.drain_through_time().await;
    studio.pictures_are_made().await;
    studio.jobs.drain_through_time().await;
    assert_eq!(studio.album_status().await, "ready");
    assert_eq!(studio.pictures().await, 2);
    assert_eq!(studio.albums_written().await, 1);
}

#[tokio::test]
async fn the_pictures_come_as_one_album_and_then_what_can_be_done_with_them() {
    let studio = Studio::asked().await;
    studio.hears().await;
    studio.finish().await;
    assert_eq!(effects(&studio, "sendMediaGroup"), 1);
    let calls = studio.telegram.control().ledger(&LedgerFilter::default());
    let sent: Vec<&str> = calls
        .iter()
        .filter(|call| call.accepted)
        .map(|call| call.method.as_str())
        .filter(|method| method.to_lowercase().starts_with("send"))
        .collect();
    let album = sent
        .iter()
        .position(|method| *method == "sendMediaGroup")
        .unwrap();
    assert_eq!(sent.get(album + 1), Some(&"SendMessage"), "{sent:?}");
    let known = studio
        .count("select count(*) from pictures where file_id is not null")
        .await;
    assert_eq!(known, 2, "they can be sent again without their bytes");
}

#[tokio::test]
async fn pictures_that_were_deleted_before_they_went_out_hold_nothing_up() {
    let studio = Studio::asked().await;
    studio.jobs.run_one::<GenerateImages>().await.unwrap();
    studio.pictures_are_made().await;
    studio.world.poll().await;
    studio.store_pictures().await;
    studio.change("delete from pictures").await;
    studio.jobs.drain_through_time().await;
    assert!(!studio.is_live::<NotifyUser>().await);
    assert_eq!(studio.album_status().await, "ready");
}

#[tokio::test]
async fn an_album_that_fal_fails_is_told_with_a_way_on() {
    let studio = Studio::at_fal(Effect::Fail {
        status: 500,
        body: json!({"detail": "boom", "error_type": "runner_server_error"}),
    })
    .await;
    studio.finish().await;
    studio.assert_failed_once("provider_failed").await;
    let buttons = studio
        .count("select jsonb_array_length(message -> 'buttons')::bigint from notifications where dedupe_key like 'album:%'")
        .await;
    assert_eq!(buttons, 1);
}

#[tokio::test]
async fn an_album_whose_answer_is_lost_comes_twice_and_is_counted() {
    let studio = Studio::asked().await;
    studio.hears().await;
    studio
        .telegram
        .control()
        .inject(Fault::on("sendMediaGroup", FaultAction::LoseAnswer));
    studio.finish().await;
    assert_eq!(effects(&studio, "sendMediaGroup"), 2, "at least once");
    studio.assert_ready_once("though it came twice").await;
    for (counted, times) in [("message ? 'pictures'", 1), ("dedupe_key like 'album:%'", 0)] {
        let query = format!("select sum(possible_duplicates)::bigint from notifications where {counted}");
        let duplicates: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(studio.pool())
            .await
            .unwrap();
        assert_eq!(duplicates, times, "{counted}");
    }
}
