//! The contract of every kind of job. A queue that loses nothing runs jobs again: so each kind shows what happens when
//! it is run twice, when its process dies, and when it is given up.
//!
//! * `run_twice_has_one_effect`: a second job with the same payload changes nothing more.
//! * `dies_at_any_await_and_is_done_all_the_same`: a run that stops at its k-th await, for each k, is rescued, run again,
//!   and ends like a run that did not die.
//! * `a_last_attempt_that_fails_leaves_nothing_undone`: the job is dead, `on_dead` has done its part, and once the fault is
//!   gone the work goes on or its owner knows that it does not.
//! * `stored_payloads_of_each_version_decode_for_ever`: `tests/payloads/<kind>.v<N>.json`, for each version N.
//!
//! The list below makes these tests, for each kind one module: `cargo test --test main contract::store_photo`. How a kind
//! is arranged, and what must hold at the end, is its `impl` of [`Contract`]. A kind that is registered and not listed fails
//! `each_registered_kind_is_under_contract`.

mod broadcasts;
mod deletions;
mod exports;
mod messages;
mod payloads;
mod photos;
mod pictures;
mod stock;
mod trainings;
mod upkeep;

use jobs::{
    ApplyFalDelivery, Broadcast, BuildArchive, CancelGeneration, CancelTraining, DeleteAvatar, DeletePicture,
    EraseUser, ExportData, GenerateImages, InspectPhoto, NotifyUser, PollStatus, Prune, ReconcileGenerations,
    ReconcileTrainings, StoreModel, StorePhoto, StorePictures, SubmitTraining, SweepOrphans, job::Job, kinds,
};
use stock::Contract;

/// A kind that is under contract.
struct Kind {
    name: &'static str,
    version: i16,
    /// Decodes a stored payload and encodes it again.
    round_trip: fn(&str) -> Result<String, serde_json::Error>,
}

impl Kind {
    const fn of<J: Contract>() -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            round_trip: |stored| serde_json::to_string(&serde_json::from_str::<J>(stored)?),
        }
    }
}

macro_rules! under_contract {
    ($($kind:ident: $payload:ident,)*) => {
        const UNDER_CONTRACT: &[Kind] = &[$(Kind::of::<$payload>()),*];

        /// The modules with the stock tests of each, by their names.
        const MODULES: &[(&str, &str)] = &[$((stringify!($kind), $payload::NAME)),*];

        $(mod $kind {
            use super::{$payload, stock};

            #[tokio::test]
            async fn run_twice_has_one_effect() {
                stock::run_twice::<$payload>().await;
            }

            #[tokio::test]
            async fn dies_at_any_await_and_is_done_all_the_same() {
                stock::die_at_each_await::<$payload>().await;
            }

            #[tokio::test]
            async fn a_last_attempt_that_fails_leaves_nothing_undone() {
                stock::fail_the_last_attempt::<$payload>().await;
            }
        })*
    };
}

under_contract! {
    store_photo: StorePhoto,
    inspect_photo: InspectPhoto,
    build_archive: BuildArchive,
    submit_training: SubmitTraining,
    poll_status: PollStatus,
    apply_fal_delivery: ApplyFalDelivery,
    cancel_training: CancelTraining,
    store_model: StoreModel,
    generate_images: GenerateImages,
    cancel_generation: CancelGeneration,
    store_pictures: StorePictures,
    notify_user: NotifyUser,
    delete_avatar: DeleteAvatar,
    delete_picture: DeletePicture,
    erase_user: EraseUser,
    export_data: ExportData,
    broadcast: Broadcast,
    prune: Prune,
    reconcile_trainings: ReconcileTrainings,
    reconcile_generations: ReconcileGenerations,
    sweep_orphans: SweepOrphans,
}

/// What is wrong between the kinds that a worker runs and those under contract, each with the fix.
fn differences(registered: &[&str], under_contract: &[&str]) -> Vec<String> {
    let lacking = registered.iter().filter(|kind| !under_contract.contains(kind));
    let lacking = lacking.map(|kind| {
        format!(
            "{kind} is under no contract\n    fix: add the line `{kind}: <its payload>,` to under_contract! in \
             tests/contract.rs, `impl Contract` for the payload in a file of tests/contract/, and its stored payload \
             tests/payloads/{kind}.v1.json"
        )
    });
    let foreign = under_contract.iter().filter(|kind| !registered.contains(kind));
    let foreign = foreign.map(|kind| {
        format!("{kind} is not registered\n    fix: register it, or take it out of under_contract! in tests/contract.rs")
    });
    lacking.chain(foreign).collect()
}

fn assert_nothing(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn each_registered_kind_is_under_contract() {
    let registered: Vec<&str> = kinds().collect();
    let under_contract: Vec<&str> = UNDER_CONTRACT.iter().map(|kind| kind.name).collect();
    assert_nothing(&differences(&registered, &under_contract));
    let lacking = differences(&registered, &under_contract[1..]);
    assert!(
        lacking.len() == 1 && lacking[0].contains("tests/payloads/store_photo.v1.json"),
        "{lacking:?}"
    );
    assert_eq!(differences(&registered[1..], &under_contract).len(), 1);
}

#[test]
fn the_stock_tests_of_a_kind_stand_in_a_module_of_its_name() {
    for (module, kind) in MODULES {
        assert_eq!(module, kind, "in under_contract! of tests/contract.rs");
    }
}
