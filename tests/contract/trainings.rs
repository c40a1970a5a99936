//! What moves a training from its photos to its model: one paid request, one ending, whatever dies on the way.

use aisha::simulators::fal::faults::{Effect, Operation};
use jobs::{
    ApplyFalDelivery, BuildArchive, CancelTraining, PollStatus, ReconcileTrainings, StoreModel,
    SubmitTraining,
};
use serde_json::json;

use super::stock::{Contract, Lived};
use crate::saga::world::World;

impl Contract for BuildArchive {
    type Stage = World;
    const STRIDE: usize = 3;

    async fn arrange() -> World {
        World::requested().await
    }

    async fn finish(world: &World) {
        world.jobs.drain().await;
        world.ends().await;
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_completed_once(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        world.s3.remove_bucket();
    }

    async fn assert_given_up(world: &World) {
        world.assert_failed_once("internal").await;
    }
}

impl Contract for SubmitTraining {
    type Stage = World;
    const STRIDE: usize = 3;

    async fn arrange() -> World {
        World::archived().await
    }

    async fn finish(world: &World) {
        world.jobs.drain().await;
        if world.status().await == "submitting" && world.submits() == 0 {
            world.decision_is_due().await;
            world.archive_has_expired().await;
            world.jobs.drain_through_time().await;
        }
        world.ends().await;
    }

    async fn assert_done(world: &World, lived: Lived) {
        // It died with the attempt committed and nothing sent. Nobody can know that, so nothing may be sent again (K12).
        if world.submits() == 0 && matches!(lived, Lived::AfterDeathAt(_)) {
            world.assert_failed_once("submit_outcome_unknown").await;
        } else {
            world.assert_completed_once(&lived.to_string()).await;
        }
    }

    async fn break_it(world: &World) {
        world.fal.always_answers(Operation::Download, 500, json!({}));
    }

    async fn assert_given_up(world: &World) {
        world.assert_failed_once("internal").await;
        assert_eq!(world.submits(), 0);
    }
}

impl Contract for PollStatus {
    type Stage = World;
    const STRIDE: usize = 3;

    async fn arrange() -> World {
        let world = World::submitted().await;
        world.fal_is_done().await;
        world
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_completed_once(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        world
            .change("update trainings set status_url = '!' || status_url, response_url = '!' || response_url")
            .await;
    }

    async fn mend_it(world: &World) {
        world
            .change(
                "update trainings set status_url = ltrim(status_url, '!'), response_url = ltrim(response_url, '!')",
            )
            .await;
    }

    /// A successor has taken its place: no other job would have learnt the end.
    async fn assert_given_up(world: &World) {
        world.assert_completed_once("by its successor").await;
    }
}

impl Contract for ApplyFalDelivery {
    type Stage = World;
    const STRIDE: usize = 3;

    async fn arrange() -> World {
        let world = World::submitted().await;
        world.fal_is_done().await;
        world.store_ok(world.request_id().await).await;
        world
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_completed_once(&lived.to_string()).await;
        let disposition = world.text("select disposition from fal_deliveries").await;
        assert_eq!(disposition.as_deref(), Some("applied"), "{lived}");
    }

    async fn break_it(world: &World) {
        world
            .change("alter table trainings add constraint broken check (status <> 'trained') not valid")
            .await;
    }

    async fn mend_it(world: &World) {
        world.change("alter table trainings drop constraint broken").await;
    }

    /// The delivery waits for an operator; the poll goes on without it.
    async fn assert_given_up(world: &World) {
        world.assert_completed_once("by the poll").await;
        let disposition = world.text("select disposition from fal_deliveries").await;
        assert_eq!(disposition.as_deref(), Some("given_up"));
    }
}

impl Contract for CancelTraining {
    type Stage = World;

    async fn arrange() -> World {
        let world = World::at_fal(Effect::StuckInQueue {}).await;
        world.cancel().await;
        world
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_cancelled_once(&lived.to_string()).await;
        if lived == Lived::Twice {
            assert_eq!(world.cancels(), [200], "nothing is left to be stopped");
        }
    }

    async fn break_it(world: &World) {
        world.fal.always_answers(Operation::Cancel, 500, json!({}));
    }

    /// The wish stands: once FAL has had its time, the training ends without FAL's word.
    async fn mend_it(world: &World) {
        assert_eq!(world.status().await, "submitted");
        world.cancel_deadline_is_over().await;
        world.enqueue(&ReconcileTrainings::default()).await;
        world.run::<ReconcileTrainings>().await;
        // Until then the poll watches what FAL may still make of it.
        world.archive_has_expired().await;
    }

    async fn assert_given_up(world: &World) {
        world.assert_cancelled_once("by the deadline").await;
    }
}

impl Contract for StoreModel {
    type Stage = World;
    const STRIDE: usize = 3;

    async fn arrange() -> World {
        World::trained().await
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_completed_once(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        world.fal.always_answers(Operation::Download, 500, json!({}));
    }

    async fn assert_given_up(world: &World) {
        world.assert_failed_once("model_invalid").await;
    }
}
