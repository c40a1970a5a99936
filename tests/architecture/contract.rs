//! The contract of every kind of job: its stored payloads of each version decode for ever, and it has three stock
//! tests: run twice the job has one effect, it may die at every await, and its last attempt may fail.
//!
//! The assertions of a stock test differ from kind to kind, so this table only names the test; a
//! reader must judge whether it is a good one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jobs::job::Job;
use jobs::{
    ApplyFalDelivery, BuildArchive, CancelTraining, NotifyUser, PollStatus, Prune, ReconcileTrainings,
    StoreModel, StorePhoto, SubmitTraining, SweepOrphans, kinds,
};

use super::proofs::tests_in;
use super::source::{root, rust_files};

/// The contract of one kind.
struct Entry {
    kind: &'static str,
    version: i16,
    /// Decodes a stored payload and encodes it again.
    round_trip: fn(&str) -> Result<String, serde_json::Error>,
    run_twice: &'static str,
    dies_anywhere: &'static str,
    last_attempt_fails: &'static str,
}

impl Entry {
    const fn of<J: Job>(
        run_twice: &'static str,
        dies_anywhere: &'static str,
        last_attempt_fails: &'static str,
    ) -> Self {
        Self {
            kind: J::NAME,
            version: J::VERSION,
            round_trip: |stored| serde_json::to_string(&serde_json::from_str::<J>(stored)?),
            run_twice,
            dies_anywhere,
            last_attempt_fails,
        }
    }

    fn stock_tests(&self) -> [(&'static str, &'static str); 3] {
        [
            ("run twice has one effect", self.run_twice),
            ("dies at every await", self.dies_anywhere),
            ("last attempt fails", self.last_attempt_fails),
        ]
    }
}

const CONTRACT: &[Entry] = &[
    Entry::of::<StorePhoto>(
        "store_photo_run_twice_stores_once",
        "a_photo_survives_a_death_at_any_point_of_its_storing",
        "a_photo_that_telegram_never_hands_out_is_refused_in_the_end_and_the_user_knows",
    ),
    Entry::of::<BuildArchive>(
        "every_job_run_twice_has_one_effect",
        "build_archive_that_dies_anywhere_is_done_all_the_same",
        "a_last_attempt_that_fails_tells_the_owner",
    ),
    Entry::of::<SubmitTraining>(
        "every_job_run_twice_has_one_effect",
        "submit_training_that_dies_anywhere_is_done_all_the_same",
        "a_last_attempt_that_fails_tells_the_owner",
    ),
    Entry::of::<PollStatus>(
        "every_job_run_twice_has_one_effect",
        "poll_status_that_dies_anywhere_is_done_all_the_same",
        "a_dead_poll_starts_over_while_the_training_is_at_fal",
    ),
    Entry::of::<ApplyFalDelivery>(
        "apply_fal_delivery_run_twice_has_one_effect",
        "apply_fal_delivery_that_dies_anywhere_is_done_all_the_same",
        "w14_a_delivery_that_was_given_up_says_so_and_can_be_replayed",
    ),
    Entry::of::<CancelTraining>(
        "cancel_training_run_twice_tells_once_and_a_last_attempt_that_fails_keeps_the_wish",
        "cancel_training_that_dies_anywhere_is_done_all_the_same",
        "cancel_training_run_twice_tells_once_and_a_last_attempt_that_fails_keeps_the_wish",
    ),
    Entry::of::<StoreModel>(
        "every_job_run_twice_has_one_effect",
        "store_model_that_dies_anywhere_is_done_all_the_same",
        "a_last_attempt_that_fails_tells_the_owner",
    ),
    Entry::of::<NotifyUser>(
        "a_message_is_sent_once_however_often_its_job_runs",
        "a_message_survives_a_death_at_any_point_and_a_repeat_is_counted",
        "a_message_that_cannot_be_delivered_is_closed_and_the_next_one_has_its_turn",
    ),
    Entry::of::<Prune>(
        "q17_the_job_forgets_old_jobs_updates_and_deliveries_and_keeps_what_had_no_effect_yet",
        "prune_that_dies_anywhere_is_done_all_the_same",
        "a_last_prune_that_fails_leaves_the_next_one_free",
    ),
    Entry::of::<ReconcileTrainings>(
        "a_training_that_lost_its_job_is_put_back_on_its_rails",
        "reconcile_trainings_that_dies_anywhere_is_done_all_the_same",
        "a_last_reconciliation_that_fails_leaves_the_next_one_free",
    ),
    Entry::of::<SweepOrphans>(
        "the_sweep_removes_only_what_no_row_names",
        "sweep_orphans_that_dies_anywhere_is_done_all_the_same",
        "a_last_sweep_that_fails_leaves_the_next_one_free",
    ),
];

/// The missing parts of the contract of the kinds in `registered`, each with the fix.
fn missing(entries: &[Entry], registered: &BTreeSet<&str>, tests: &BTreeSet<String>) -> Vec<String> {
    let mut missing = Vec::new();
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.kind).collect();
    for kind in registered.difference(&known) {
        missing.push(format!(
            "{kind} has no entry\n    fix: add it to CONTRACT in tests/architecture/contract.rs, with its three stock tests, \
             and its payload as tests/payloads/{kind}.v1.json"
        ));
    }
    for kind in known.difference(registered) {
        missing.push(format!(
            "{kind} is not registered\n    fix: add it to JOBS in jobs/src/runtime/registry.rs, or take it out of CONTRACT"
        ));
    }
    for entry in entries {
        for (what, test) in entry.stock_tests() {
            if !tests.contains(test) {
                missing.push(format!(
                    "{}: the stock test \"{what}\", `{test}`, does not exist\n    fix: write it (jobs::testing), or name \
                     the test that takes its place",
                    entry.kind
                ));
            }
        }
    }
    missing
}

/// The mistakes in the stored payloads in `folder`.
fn broken_payloads(entries: &[Entry], folder: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    let mut expected = BTreeSet::new();
    for entry in entries {
        for version in 1..=entry.version {
            let name = format!("{}.v{version}.json", entry.kind);
            let Ok(stored) = fs::read_to_string(folder.join(&name)) else {
                broken.push(format!(
                    "{name} is not there\n    fix: store a payload of that version in tests/payloads/{name}"
                ));
                continue;
            };
            match (entry.round_trip)(&stored) {
                Ok(again) if again == stored.trim() => {}
                Ok(again) => broken.push(format!(
                    "{name} is encoded as {again}\n    fix: keep the payload's shape, or raise VERSION and add the next file"
                )),
                Err(error) => broken.push(format!(
                    "{name} decodes no more: {error}\n    fix: jobs of that version may be waiting; make the payload read them"
                )),
            }
            expected.insert(name);
        }
    }
    let files = fs::read_dir(folder).expect("the folder is there");
    for name in files.map(|file| file.expect("an entry can be read").file_name()) {
        let name = name.to_str().expect("a name in UTF-8");
        if name.contains(".v") && !expected.contains(name) {
            broken.push(format!(
                "{name} belongs to no version of a kind in CONTRACT\n    fix: raise that kind's VERSION, or remove the file"
            ));
        }
    }
    broken
}

fn assert_nothing(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn each_registered_kind_names_three_stock_tests_that_exist() {
    let tests = tests_in(&rust_files());
    assert_nothing(&missing(CONTRACT, &kinds().collect(), &tests));
}

#[test]
fn stored_payloads_of_each_version_decode_for_ever() {
    assert_nothing(&broken_payloads(CONTRACT, &root().join("tests/payloads")));
}

#[test]
fn a_kind_without_its_part_of_the_contract_is_refused() {
    let tests = tests_in(&rust_files());
    let registered: BTreeSet<&str> = kinds().collect();
    let (first, rest) = CONTRACT.split_first().expect("an entry");
    let unlisted = missing(rest, &registered, &tests);
    assert!(
        unlisted.len() == 1 && unlisted[0].contains("tests/payloads/store_photo.v1.json"),
        "{unlisted:?}"
    );
    let unregistered: BTreeSet<&str> = kinds().filter(|kind| *kind != first.kind).collect();
    assert_eq!(missing(CONTRACT, &unregistered, &tests).len(), 1);
    let invented = [Entry::of::<StorePhoto>(
        first.run_twice,
        "nobody_wrote_it",
        first.last_attempt_fails,
    )];
    assert_eq!(missing(&invented, &BTreeSet::from([first.kind]), &tests).len(), 1);
}

#[test]
fn a_payload_that_is_missing_foreign_or_unreadable_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let entries = [Entry::of::<StorePhoto>("a", "b", "c")];
    let broken_by = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("write");
        broken_payloads(&entries, folder.path())
    };
    assert_eq!(broken_payloads(&entries, folder.path()).len(), 1, "it is missing");
    let good = r#"{"photo_id":"0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a02"}"#;
    assert_eq!(broken_by("store_photo.v1.json", good), Vec::<String>::new());
    assert_eq!(
        broken_by("store_photo.v1.json", "{}").len(),
        1,
        "a field is missing"
    );
    let more = r#"{"photo_id":"0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a02","more":1}"#;
    assert_eq!(broken_by("store_photo.v1.json", more).len(), 1, "a field is lost");
    broken_by("store_photo.v1.json", good);
    assert_eq!(broken_by("store_photo.v2.json", good).len(), 1, "no such version");
}
