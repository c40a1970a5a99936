//! What was enqueued by an older binary is read by every newer one: these files are never edited, only joined.

use jobs::{
    ApplyFalDelivery, BuildArchive, CancelTraining, PollStatus, ReconcileTrainings, StoreModel,
    SubmitTraining, SweepOrphans, job::Job,
};

fn decodes_for_ever<J: Job>(name: &str, golden: &str) {
    assert_eq!((J::NAME, J::VERSION), (name, 1));
    let job: J = serde_json::from_str(golden).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_string(&job).unwrap(), golden.trim(), "{name}");
}

macro_rules! golden {
    ($($job:ty, $name:literal);+ $(;)?) => {
        $(decodes_for_ever::<$job>($name, include_str!(concat!("../payloads/", $name, ".v1.json")));)+
    };
}

#[test]
fn stored_payloads_of_the_saga_decode_for_ever() {
    golden! {
        BuildArchive, "build_archive";
        SubmitTraining, "submit_training";
        PollStatus, "poll_status";
        ApplyFalDelivery, "apply_fal_delivery";
        CancelTraining, "cancel_training";
        StoreModel, "store_model";
        ReconcileTrainings, "reconcile_trainings";
        SweepOrphans, "sweep_orphans";
    }
}
