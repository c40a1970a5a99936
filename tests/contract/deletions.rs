//! What erases: nothing may be left, whatever dies on the way; and a deletion that was given up is begun again.

use std::fs;

use jobs::{DeleteAvatar, EraseUser, Prune};

use super::stock::{Contract, Lived};
use crate::saga::world::World;
use crate::support::BUCKET;

impl Contract for DeleteAvatar {
    type Stage = World;
    const STRIDE: usize = 7;

    /// A trained avatar, with its photos and its model in the bucket.
    async fn arrange() -> World {
        let world = World::submitted().await;
        world.ends().await;
        world.delete_avatar().await;
        world
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_erased(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        fs::rename(world.s3.root().join(BUCKET), world.s3.root().join("away")).unwrap();
    }

    /// `prune` finds the avatar that nobody erases.
    async fn mend_it(world: &World) {
        fs::rename(world.s3.root().join("away"), world.s3.root().join(BUCKET)).unwrap();
        world
            .change("update avatars set deleted_at = deleted_at - interval '10 min'")
            .await;
        world.enqueue(&Prune::default()).await;
    }

    async fn assert_given_up(world: &World) {
        world.assert_erased("by a second job").await;
    }
}

impl Contract for EraseUser {
    type Stage = World;
    const STRIDE: usize = 7;

    /// A user whose avatar is erased already.
    async fn arrange() -> World {
        let world = World::submitted().await;
        world.ends().await;
        world.leave().await;
        world.jobs.run_one::<DeleteAvatar>().await.expect("a deletion");
        world
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_nobody(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        world.change("alter table quota_uses rename to gone").await;
    }

    /// `prune` finds the user whom nobody erases.
    async fn mend_it(world: &World) {
        world.change("alter table gone rename to quota_uses").await;
        world
            .change("update erasures set asked_at = asked_at - interval '10 min'")
            .await;
        world.enqueue(&Prune::default()).await;
    }

    async fn assert_given_up(world: &World) {
        world.assert_nobody("by a second job").await;
    }
}
