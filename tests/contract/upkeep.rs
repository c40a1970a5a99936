//! What runs by the clock: `prune`, `reconcile_trainings`, `sweep_orphans`. When one is given up, its next tick does the
//! work.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jobs::{Prune, ReconcileTrainings, SweepOrphans};

use super::stock::{Contract, Lived};
use crate::queue::prune::{assert_forgotten, old_and_new};
use crate::saga::world::World;
use crate::support::{BUCKET, Core};

impl Contract for Prune {
    type Stage = Box<Core>;

    async fn arrange() -> Box<Core> {
        let core = Core::new().await;
        old_and_new(core.pool()).await;
        core.enqueue(&Self::default()).await;
        Box::new(core)
    }

    async fn assert_done(core: &Box<Core>, lived: Lived) {
        assert_forgotten(core.pool(), &lived.to_string()).await;
    }

    async fn break_it(core: &Box<Core>) {
        core.change("alter table fal_deliveries rename to gone").await;
    }

    async fn mend_it(core: &Box<Core>) {
        core.change("alter table gone rename to fal_deliveries").await;
        core.enqueue(&Self::default()).await;
    }

    async fn assert_given_up(core: &Box<Core>) {
        assert_forgotten(core.pool(), "by the next one").await;
    }
}

impl Contract for ReconcileTrainings {
    type Stage = World;

    /// A training whose jobs are lost.
    async fn arrange() -> World {
        let world = World::archived().await;
        world.change("delete from jobs").await;
        world.enqueue(&Self::default()).await;
        world
    }

    async fn finish(world: &World) {
        world.jobs.drain().await;
        world.ends().await;
    }

    async fn assert_done(world: &World, lived: Lived) {
        world.assert_completed_once(&lived.to_string()).await;
    }

    async fn break_it(world: &World) {
        world.change("alter table fal_account rename to gone").await;
    }

    async fn mend_it(world: &World) {
        world.change("alter table gone rename to fal_account").await;
        world.enqueue(&Self::default()).await;
    }

    async fn assert_given_up(world: &World) {
        world.assert_completed_once("by the next one").await;
    }
}

const ORPHAN: &str = "0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a01/0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a02/1.jpg";
const FOREIGN: &str = "backup/2026.zip";

impl Contract for SweepOrphans {
    type Stage = Box<Core>;

    /// All that is in the bucket is old enough to be swept.
    async fn arrange() -> Box<Core> {
        let mut core = Core::new().await;
        core.change_services(|services| Arc::make_mut(&mut services.settings).orphan_age = Duration::ZERO);
        core.s3.put(ORPHAN, b"bytes");
        core.s3.put(FOREIGN, b"bytes");
        core.enqueue(&Self::default()).await;
        Box::new(core)
    }

    async fn assert_done(core: &Box<Core>, lived: Lived) {
        assert!(core.s3.get(ORPHAN).is_none(), "{lived}");
        assert!(core.s3.get(FOREIGN).is_some(), "{lived}");
    }

    async fn break_it(core: &Box<Core>) {
        fs::rename(core.s3.root().join(BUCKET), core.s3.root().join("away")).unwrap();
    }

    async fn mend_it(core: &Box<Core>) {
        fs::rename(core.s3.root().join("away"), core.s3.root().join(BUCKET)).unwrap();
        core.enqueue(&Self::default()).await;
    }

    async fn assert_given_up(core: &Box<Core>) {
        assert!(core.s3.get(ORPHAN).is_none(), "by the next one");
    }
}
