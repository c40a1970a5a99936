//! What erases: nothing may be left, whatever dies on the way; and a deletion that was given up is begun again.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jobs::{
    DeleteAvatar, DeletePicture, EraseUser, Prune, SweepOrphans,
    domain::{AvatarId, PictureId, UserId},
};
use uuid::Uuid;

use super::stock::{Contract, Lived};
use crate::saga::world::World;
use crate::support::{BUCKET, Core};

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

const OWNER: UserId = UserId(Uuid::from_u128(1));
const AVATAR: AvatarId = AvatarId(Uuid::from_u128(2));

/// Where the bucket has this picture of [`AVATAR`].
fn picture_key(picture: PictureId) -> String {
    format!("{OWNER}/{AVATAR}/{picture}.jpg")
}

const DELETED: PictureId = PictureId(Uuid::from_u128(3));
const NEIGHBOUR: PictureId = PictureId(Uuid::from_u128(4));

impl Contract for DeletePicture {
    type Stage = Box<Core>;

    /// Two pictures in the bucket, of which one is deleted.
    async fn arrange() -> Box<Core> {
        let mut core = Core::new().await;
        core.change_services(|services| Arc::make_mut(&mut services.settings).orphan_age = Duration::ZERO);
        for picture in [DELETED, NEIGHBOUR] {
            core.s3.put(&picture_key(picture), b"bytes");
        }
        core.enqueue(&Self::new(OWNER, AVATAR, DELETED)).await;
        Box::new(core)
    }

    async fn assert_done(core: &Box<Core>, lived: Lived) {
        assert!(core.s3.get(&picture_key(DELETED)).is_none(), "{lived}");
        assert!(core.s3.get(&picture_key(NEIGHBOUR)).is_some(), "{lived}");
    }

    async fn break_it(core: &Box<Core>) {
        fs::rename(core.s3.root().join(BUCKET), core.s3.root().join("away")).unwrap();
    }

    /// The sweep of the bucket comes by.
    async fn mend_it(core: &Box<Core>) {
        fs::rename(core.s3.root().join("away"), core.s3.root().join(BUCKET)).unwrap();
        core.enqueue(&SweepOrphans::default()).await;
    }

    async fn assert_given_up(core: &Box<Core>) {
        assert!(
            core.s3.get(&picture_key(DELETED)).is_none(),
            "removed by the sweep"
        );
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
