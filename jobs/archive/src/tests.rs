//! Tests of the whole pipeline, called as `build_archive` calls it.

use std::{
    convert::Infallible,
    future::{Future, ready},
    io::Read,
    pin::pin,
};

use bytes::Bytes;
use futures::poll;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    Archive, BuildError, Fetched, MEMORY_UNIT, PhotoLimits, PhotoProblem, Workbench,
    fixtures::{Make, decode, jpeg, photo, picture, portrait, with_orientation, with_segment},
};

fn any_number() -> PhotoLimits {
    PhotoLimits {
        photos: 0..=20,
        ..PhotoLimits::default()
    }
}

fn workbench() -> Workbench {
    Workbench::new(Workbench::DEFAULT_MEMORY, 2).unwrap()
}

async fn build(files: &[Bytes], limits: &PhotoLimits) -> Result<Archive, BuildError<Infallible>> {
    let fetch = |photo: usize| ready(Ok(Fetched::Photo(files[photo].clone())));
    workbench()
        .build(files.len(), fetch, limits, &CancellationToken::new())
        .await
}

/// Names and contents, as another ZIP program reads them.
fn entries(archive: &Archive) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(&archive.file).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut entry = zip.by_index(at).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

#[tokio::test]
async fn the_same_photos_make_the_same_archive() {
    let mut files = portrait();
    files[3] = photo("edge/a.webp");
    files[4] = photo("edge/rot6.jpg");
    let mut first = build(&files, &PhotoLimits::default()).await.unwrap();
    let mut second = build(&files, &PhotoLimits::default()).await.unwrap();
    let (mut one, mut other) = (Vec::new(), Vec::new());
    first.file.read_to_end(&mut one).unwrap();
    second.file.read_to_end(&mut other).unwrap();
    assert!(one == other);
    assert_eq!(first.sha256, second.sha256);
    assert_eq!(first.sha256, *Sha256::digest(&one));
    assert_eq!(first.length, one.len() as u64);
    assert_eq!(
        first.file_name(),
        format!("photos-{}.zip", &hex::encode(first.sha256)[..16])
    );
}

#[tokio::test]
async fn the_archive_is_flat_stored_and_in_order() {
    let files = portrait();
    let archive = build(&files, &PhotoLimits::default()).await.unwrap();
    let names: Vec<_> = entries(&archive).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        (1..=15)
            .map(|number| format!("photo_{number:03}.jpg"))
            .collect::<Vec<_>>()
    );
    assert_eq!(
        archive
            .accepted
            .iter()
            .map(|accepted| accepted.photo)
            .collect::<Vec<_>>(),
        (0..15).collect::<Vec<_>>()
    );
    let mut zip = zip::ZipArchive::new(&archive.file).unwrap();
    let entry = zip.by_index(0).unwrap();
    assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
    assert_eq!(entry.last_modified().map(|time| time.year()), Some(1980));
    assert_eq!(entry.unix_mode().map(|mode| mode & 0o777), Some(0o644));
    // Stored, without data descriptors and ZIP64, so the length is known to the byte.
    let expected: usize = entries(&archive)
        .iter()
        .map(|(name, data)| 30 + 46 + 2 * name.len() + data.len())
        .sum();
    assert_eq!(archive.length, expected as u64 + 22);
}

#[tokio::test]
async fn a_passed_through_photo_keeps_its_pixels() {
    let files = vec![photo("edge/prog.jpg"), portrait()[0].clone()];
    let archive = build(&files, &any_number()).await.unwrap();
    for ((_, stored), (file, accepted)) in entries(&archive).iter().zip(files.iter().zip(&archive.accepted)) {
        assert!(accepted.passed_through);
        assert!(decode(stored) == decode(file));
    }
}

#[tokio::test]
async fn no_metadata_reaches_the_archive() {
    let plain = jpeg(&picture(64, 48), Make::default());
    let mut tagged = with_segment(&plain, 0xfe, b"SECRET comment");
    tagged = with_segment(&tagged, 0xe1, b"http://ns.adobe.com/xap/1.0/\0SECRET xmp");
    tagged = with_segment(&tagged, 0xed, b"Photoshop 3.0\0SECRET iptc");
    tagged = with_segment(&tagged, 0xe2, b"MPF\0SECRET mpf");
    tagged = with_segment(&tagged, 0xe0, b"JFXX\0SECRET thumbnail");
    tagged = with_segment(&tagged, 0xe1, b"Exif\0\0SECRET gps");
    tagged.extend_from_slice(b"SECRET video behind the picture");
    let turned = with_orientation(&tagged, 6);
    let archive = build(&[tagged.into(), turned.into()], &any_number())
        .await
        .unwrap();
    let entries = entries(&archive);
    assert_eq!(
        archive
            .accepted
            .iter()
            .map(|photo| photo.passed_through)
            .collect::<Vec<_>>(),
        [true, false]
    );
    for (name, content) in &entries {
        assert!(!content.windows(6).any(|window| window == b"SECRET"), "{name}");
    }
    assert_eq!(
        entries[0].1, plain,
        "all but the metadata is the user's own bytes"
    );
}

#[tokio::test]
async fn unusable_photos_are_named_with_their_problem() {
    let names = [
        "trunc.jpg",
        "cmyk.jpg",
        "a.avif",
        "gray.jpg",
        "notimg.jpg",
        "prog.jpg",
        "bomb.png",
        "a.webp",
    ];
    let files: Vec<_> = names.map(|name| photo(&format!("edge/{name}"))).into();
    let archive = build(&files, &any_number()).await.unwrap();
    let rejected: Vec<_> = archive
        .rejected
        .iter()
        .map(|(photo, problem)| (names[*photo], problem.code()))
        .collect();
    assert_eq!(
        rejected,
        [
            ("trunc.jpg", "damaged"),
            ("a.avif", "unsupported_format"),
            ("notimg.jpg", "not_an_image"),
            ("bomb.png", "too_many_pixels")
        ]
    );
    let accepted: Vec<_> = archive
        .accepted
        .iter()
        .map(|accepted| names[accepted.photo])
        .collect();
    assert_eq!(accepted, ["cmyk.jpg", "gray.jpg", "prog.jpg", "a.webp"]);
    let names: Vec<_> = archive
        .accepted
        .iter()
        .map(|accepted| accepted.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["photo_001.jpg", "photo_002.jpg", "photo_003.jpg", "photo_004.jpg"]
    );
}

#[tokio::test]
async fn too_few_usable_photos_make_no_archive_and_say_why() {
    let mut files = portrait();
    files.truncate(9);
    files.push(photo("edge/notimg.jpg"));
    let Err(BuildError::TooFew {
        accepted: 9,
        needed: 10,
        rejected,
    }) = build(&files, &PhotoLimits::default()).await
    else {
        panic!("nine usable photos are too few")
    };
    assert_eq!(rejected, [(9, PhotoProblem::NotAnImage)]);
}

#[tokio::test]
async fn too_many_photos_are_not_even_fetched() {
    let fetch = |_| -> std::future::Ready<Result<Fetched, Infallible>> { panic!("a fetch") };
    let outcome = workbench()
        .build(21, fetch, &PhotoLimits::default(), &CancellationToken::new())
        .await;
    assert!(matches!(
        outcome,
        Err(BuildError::TooMany { given: 21, limit: 20 })
    ));
}

#[tokio::test]
async fn a_photo_that_cannot_be_fetched_ends_the_build() {
    let failing = 2;
    let fetch = |photo: usize| {
        let file = portrait().swap_remove(0);
        ready(if photo == failing {
            Err("the bucket is away")
        } else {
            Ok(Fetched::Photo(file))
        })
    };
    let outcome = workbench()
        .build(3, fetch, &any_number(), &CancellationToken::new())
        .await;
    assert!(
        matches!(outcome, Err(BuildError::Fetch { photo, source: "the bucket is away" }) if photo == failing)
    );
}

#[tokio::test]
async fn what_the_store_refuses_is_rejected_like_the_rest() {
    let problem = PhotoProblem::TooLarge {
        bytes: 30_000_000,
        limit: 20_971_520,
    };
    let fetch = |_| ready(Ok::<_, Infallible>(Fetched::Refused(problem.clone())));
    let archive = workbench()
        .build(1, fetch, &any_number(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(archive.rejected, [(0, problem)]);
}

#[tokio::test]
async fn a_cancelled_build_ends_between_two_photos() {
    let cancel = CancellationToken::new();
    let files = portrait();
    let fetch = |photo: usize| {
        if photo == 5 {
            cancel.cancel();
        }
        assert!(photo < 8, "fetched after the flag was raised");
        ready(Ok::<_, Infallible>(Fetched::Photo(files[photo].clone())))
    };
    let outcome = workbench().build(15, fetch, &any_number(), &cancel).await;
    assert!(matches!(outcome, Err(BuildError::Cancelled)));
}

#[tokio::test]
async fn decoding_waits_for_memory() {
    let bench = workbench();
    let budget = bench.memory.available_permits();
    let everything = bench
        .memory
        .clone()
        .acquire_many_owned(bench.budget)
        .await
        .unwrap();
    let file = Fetched::Photo(with_orientation(&portrait()[0], 6).into());
    let (limits, cancel) = (PhotoLimits::default(), CancellationToken::new());
    let mut waiting = pin!(bench.prepare::<Infallible>(file, &limits, &cancel));
    assert!(poll!(waiting.as_mut()).is_pending());
    drop(everything);
    // The photo stood first in line, so the memory that it needs went to it at once.
    let needed = budget - bench.memory.available_permits();
    assert!(needed * MEMORY_UNIT > 1280 * 1280 * 3, "{needed} units");
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(bench.memory.available_permits(), budget);
}

#[tokio::test]
async fn a_photo_larger_than_the_budget_is_decoded_alone() {
    let bench = Workbench::new(MEMORY_UNIT, 2).unwrap();
    let files = [photo("edge/gray.jpg"), photo("edge/a.webp")];
    let fetch = |photo: usize| ready(Ok::<_, Infallible>(Fetched::Photo(files[photo].clone())));
    let archive = bench
        .build(2, fetch, &any_number(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(archive.accepted.len(), 2);
}

/// Must compile, since the futures of jobs move between threads.
#[test]
fn a_build_can_be_sent() {
    fn sent<T: Future + Send>(_: T) {}
    let (bench, limits, cancel) = (workbench(), PhotoLimits::default(), CancellationToken::new());
    let fetch = |_| ready(Ok::<_, Infallible>(Fetched::Refused(PhotoProblem::Empty)));
    sent(bench.build(0, fetch, &limits, &cancel));
}
