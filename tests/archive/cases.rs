//! `tests/cases/images`: photos that readers disagree about, each with its expected outcome.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{build, decoded, entries, file, problem_with};

/// Largest difference of colours: chroma of half the size bleeds over hard edges. A
/// wrong turn or colour is off by a hundred.
const SOFT: u8 = 20;

/// The mean colours of 4×4 cells, row by row.
fn look(picture: &image::RgbImage) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let mut means = Vec::new();
    for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
        let (left, right) = (column * width / 4, (column + 1) * width / 4);
        let (top, bottom) = (row * height / 4, (row + 1) * height / 4);
        for channel in 0..3 {
            let samples = (top..bottom)
                .flat_map(|y| (left..right).map(move |x| u64::from(picture.get_pixel(x, y)[channel])));
            let mean = samples.sum::<u64>() / u64::from((right - left) * (bottom - top));
            means.push(u8::try_from(mean).unwrap());
        }
    }
    means
}

/// Markers that a reader of metadata would find: all but those that pixels need.
fn needless_markers(jpeg: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut at = 2;
    while jpeg[at + 1] != 0xda {
        let (marker, length) = (jpeg[at + 1], u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let needed = match marker {
            0xc0..=0xc2 | 0xc4 | 0xdb | 0xdd | 0xe2 => true,
            0xe0 => length == 16,
            0xee => length == 14,
            _ => false,
        };
        if !needed {
            found.push(marker);
        }
        at += 2 + usize::from(length);
    }
    found
}

#[tokio::test]
async fn every_photo_that_readers_disagree_about_becomes_what_it_must() {
    let folder = format!("{}/tests/cases/images", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(format!("{folder}/expected.tsv")).unwrap();
    let mut listed: BTreeSet<String> = ["expected.tsv", "README.md"].map(str::to_owned).into();
    let mut wrong = Vec::new();
    for line in expected.lines() {
        let [name, outcome, size, cells] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not four columns")
        };
        listed.insert(name.to_owned());
        let photo: Bytes = file(&format!("../cases/images/{name}"));
        if !matches!(outcome, "untouched" | "anew") {
            let code = problem_with(photo).await;
            if code != outcome {
                wrong.push(format!("{name}: refused as {code}, not as {outcome}"));
            }
            continue;
        }
        let archive = build(&[photo])
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let untouched = archive.accepted[0].passed_through;
        if untouched != (outcome == "untouched") {
            wrong.push(format!("{name}: untouched: {untouched}"));
        }
        let kept = entries(archive).swap_remove(0).1;
        assert_eq!(needless_markers(&kept), Vec::<u8>::new(), "{name}");
        let picture = decoded(&kept);
        let (width, height) = picture.dimensions();
        if format!("{width}x{height}") != size {
            wrong.push(format!("{name}: {width}×{height} pixels, not {size}"));
        }
        let cells = hex::decode(cells).unwrap();
        let off = look(&picture)
            .iter()
            .zip(&cells)
            .map(|(one, other)| one.abs_diff(*other))
            .max();
        if off > Some(SOFT) {
            wrong.push(format!("{name}: a colour is off by {}", off.unwrap_or_default()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        there, listed,
        "every file is listed, and every listed file is there"
    );
}
