//! Stored payloads: jobs of an old version may be waiting when a new binary is deployed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jobs::StorePhoto;

use super::{Kind, UNDER_CONTRACT, assert_nothing};

/// What is wrong with the stored payloads in `folder`, each with the fix.
fn broken(kinds: &[Kind], folder: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    let mut expected = BTreeSet::new();
    for kind in kinds {
        for version in 1..=kind.version {
            let name = format!("{}.v{version}.json", kind.name);
            let Ok(stored) = fs::read_to_string(folder.join(&name)) else {
                broken.push(format!(
                    "{name} is not there\n    fix: store a payload of that version in tests/payloads/{name}"
                ));
                continue;
            };
            match (kind.round_trip)(&stored) {
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
                "{name} belongs to no version of a kind\n    fix: raise that kind's VERSION, or remove the file"
            ));
        }
    }
    broken
}

#[test]
fn stored_payloads_of_each_version_decode_for_ever() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads");
    assert_nothing(&broken(UNDER_CONTRACT, &folder));
}

#[test]
fn a_payload_that_is_missing_foreign_or_unreadable_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let kinds = [Kind::of::<StorePhoto>()];
    let broken_by = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("write");
        broken(&kinds, folder.path())
    };
    assert_eq!(broken(&kinds, folder.path()).len(), 1, "it is missing");
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
