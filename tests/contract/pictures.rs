//! What moves pictures from the wish to the album: one request of known fate, one message, whatever dies on the way.

use aisha::simulators::fal::faults::{Effect, Operation};
use jobs::{CancelGeneration, GenerateImages, ReconcileGenerations, StorePictures};
use serde_json::json;

use super::stock::{Contract, Lived};
use crate::pictures::world::Studio;

impl Contract for GenerateImages {
    type Stage = Studio;
    const STRIDE: usize = 3;

    async fn arrange() -> Studio {
        Studio::asked().await
    }

    async fn finish(studio: &Studio) {
        studio.jobs.drain().await;
        if studio.generation_status().await == "submitting" && studio.asked_for().is_empty() {
            // Nobody can know that FAL does not have it. After its time it is asked for again, once.
            studio
                .change("update training_attempts set created_at = created_at - interval '11 minutes' where outcome is null")
                .await;
            studio.jobs.drain_through_time().await;
        }
        studio.finish().await;
    }

    async fn assert_done(studio: &Studio, lived: Lived) {
        studio.assert_ready_once(&lived.to_string()).await;
    }

    async fn break_it(studio: &Studio) {
        studio.fal.always_answers(Operation::Download, 500, json!({}));
    }

    async fn assert_given_up(studio: &Studio) {
        studio.assert_failed_once("internal").await;
        assert!(studio.asked_for().is_empty());
    }
}

impl Contract for StorePictures {
    type Stage = Studio;
    const STRIDE: usize = 3;

    async fn arrange() -> Studio {
        Studio::generated().await
    }

    async fn assert_done(studio: &Studio, lived: Lived) {
        studio.assert_ready_once(&lived.to_string()).await;
    }

    async fn break_it(studio: &Studio) {
        studio.fal.always_answers(Operation::Download, 500, json!({}));
    }

    async fn assert_given_up(studio: &Studio) {
        studio.assert_failed_once("model_invalid").await;
    }
}

impl Contract for CancelGeneration {
    type Stage = Studio;

    async fn arrange() -> Studio {
        let studio = Studio::at_fal(Effect::StuckInQueue {}).await;
        studio.stop().await;
        studio
    }

    async fn assert_done(studio: &Studio, lived: Lived) {
        assert_eq!(studio.generation_status().await, "cancelled", "{lived}");
        assert_eq!(studio.album_status().await, "cancelled", "{lived}");
        assert_eq!(studio.told().await.as_deref(), Some("album-cancelled"), "{lived}");
        assert_eq!(studio.used().await, 0, "{lived}");
    }

    async fn break_it(studio: &Studio) {
        studio.fal.always_answers(Operation::Cancel, 500, json!({}));
    }

    /// The wish stands: once FAL has had its time, the pictures end without FAL's word.
    async fn mend_it(studio: &Studio) {
        studio
            .change("update generations set end_asked_at = end_asked_at - interval '11 minutes'")
            .await;
        studio.enqueue(&ReconcileGenerations::default()).await;
        studio.run::<ReconcileGenerations>().await;
    }

    async fn assert_given_up(studio: &Studio) {
        assert_eq!(studio.album_status().await, "cancelled", "by the deadline");
    }
}

impl Contract for ReconcileGenerations {
    type Stage = Studio;

    /// Pictures whose jobs are lost.
    async fn arrange() -> Studio {
        let studio = Studio::asked().await;
        studio.change("delete from jobs").await;
        studio.enqueue(&Self::default()).await;
        studio
    }

    async fn finish(studio: &Studio) {
        studio.finish().await;
    }

    async fn assert_done(studio: &Studio, lived: Lived) {
        studio.assert_ready_once(&lived.to_string()).await;
    }

    async fn break_it(studio: &Studio) {
        studio.change("alter table albums rename to gone").await;
    }

    async fn mend_it(studio: &Studio) {
        studio.change("alter table gone rename to albums").await;
        studio.enqueue(&Self::default()).await;
    }

    async fn assert_given_up(studio: &Studio) {
        studio.assert_ready_once("by the next one").await;
    }
}
