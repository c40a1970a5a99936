//! Where FAL gets the avatar's model from, and that it is the avatar's own.

use aisha::simulators::fal::ledger::Event;
use jobs::{objects::ObjectStore, runtime::ArchiveDelivery};
use serde_json::json;

use super::world::Studio;
use crate::{
    saga::world::World,
    support::{Db, NOWHERE, S3, worker_settings},
};

/// Trigger words in the models with which FAL has drawn.
fn drawn_with(studio: &Studio) -> Vec<Option<String>> {
    let ledger = studio.fal.ledger().into_iter();
    let drawn = ledger.filter_map(|entry| match entry.event {
        Event::Drawn { trigger, .. } => Some(trigger),
        _ => None,
    });
    drawn.collect()
}

#[tokio::test]
async fn a_store_that_fal_may_read_hands_out_the_model_itself() {
    let mut world = World::submitted().await;
    world.change_settings(|settings| settings.archive_delivery = ArchiveDelivery::Presigned);
    let studio = Studio::asked_on(world).await;
    let key = studio.text("select model_key from avatars").await.unwrap();
    studio.finish().await;
    studio.assert_ready_once("from our own store").await;
    let asked = studio.asked_for().remove(0);
    let path = asked["loras"][0]["path"].as_str().unwrap();
    assert!(path.contains(&key) && path.contains("X-Amz-Signature"), "{path}");
    assert_eq!(drawn_with(&studio), [Some("zorvane".to_owned())]);
}

/// The address that operators give for FAL is unreachable more often than it denies: a firewall, a name that does not resolve.
#[tokio::test]
async fn a_store_that_nobody_reaches_leaves_pictures_to_fals_own_copy() {
    let (db, s3) = (Db::new().await, S3::new().await);
    let public = [("AISHA__S3__PUBLIC_ENDPOINT", NOWHERE.to_owned())];
    let settings = worker_settings(s3.env().into_iter().chain(public));
    let objects = ObjectStore::new(&settings.objects).unwrap();
    let world = World::on(db, s3, |services| services.objects = objects).await;
    let mut world = world.archive().await.submit().await;
    world.change_settings(|settings| settings.archive_delivery = ArchiveDelivery::Presigned);
    let studio = Studio::asked_on(world).await;
    studio.finish().await;
    studio.assert_ready_once("from FAL's own copy").await;
    let lora = studio.text("select lora_url from avatars").await.unwrap();
    assert_eq!(studio.asked_for()[0]["loras"][0]["path"], json!(lora));
}

#[tokio::test]
async fn an_avatar_that_fal_keeps_is_drawn_by_its_id_with_its_strength() {
    let world = World::requested().await;
    world
        .change("update trainings set trainer = 'flux-pro-trainer'")
        .await;
    let studio = Studio::asked_on(world.archive().await.submit().await).await;
    studio.finish().await;
    studio.assert_ready_once("with the finetune").await;
    let kept = studio.text("select finetune_id from avatars").await.unwrap();
    let (endpoint, asked) = studio.asked_where().remove(0);
    assert_eq!(endpoint, "fal-ai/flux-pro/v1.1-ultra-finetuned");
    assert_eq!(asked["finetune_id"], json!(kept));
    assert_eq!(asked["finetune_strength"], json!(1.0));
    assert_eq!(asked["aspect_ratio"], json!("3:4"));
    assert!(asked.get("loras").is_none(), "{asked}");
}
