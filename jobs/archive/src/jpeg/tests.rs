//! Which parts of a file stay, and which files count as whole.

use bytes::Bytes;
use image::metadata::Orientation;
use jpeg_encoder::SamplingFactor;
use proptest::prelude::*;

use super::{Colour, Header, Jpeg, Verified, segments::marker};
use crate::{
    PhotoProblem,
    fixtures::{Make, decode, jpeg, photo, picture, portrait, with_orientation, with_segment},
};

fn verdict(bytes: &[u8]) -> Result<(), PhotoProblem> {
    Jpeg::parse(bytes)?.verify().map(drop)
}

fn stripped(file: Vec<u8>) -> Vec<u8> {
    let file = Bytes::from(file);
    let jpeg = Jpeg::parse(&file).unwrap();
    let verified = jpeg.verify().unwrap();
    jpeg.without_metadata(&file, &verified).concat()
}

/// Position of the nth marker with this code.
fn find(jpeg: &[u8], code: u8, nth: usize) -> usize {
    jpeg.windows(2)
        .enumerate()
        .filter(|(_, two)| *two == [0xff, code])
        .nth(nth)
        .unwrap()
        .0
}

#[test]
fn whole_photos_are_whole() {
    for file in portrait() {
        assert_eq!(verdict(&file), Ok(()));
    }
    for name in ["prog", "gray", "cmyk", "rot6"] {
        assert_eq!(verdict(&photo(&format!("edge/{name}.jpg"))), Ok(()), "{name}");
    }
}

#[test]
fn every_layout_that_an_encoder_writes_is_whole() {
    use SamplingFactor::{F_1_2, F_2_2, F_4_1, F_4_2, R_4_2_0, R_4_2_2, R_4_4_4};
    for sampling in [F_1_2, F_2_2, F_4_1, F_4_2, R_4_2_0, R_4_2_2, R_4_4_4] {
        for (width, height) in [(1, 1), (8, 8), (17, 33), (64, 48), (131, 77)] {
            for (progressive, restart_interval) in [(false, 0), (true, 0), (false, 1), (false, 7), (true, 3)]
            {
                let make = Make {
                    sampling,
                    progressive,
                    restart_interval,
                };
                let file = jpeg(&picture(width, height), make);
                assert_eq!(verdict(&file), Ok(()), "{make:?} {width}×{height}");
            }
        }
    }
}

#[test]
fn a_truncated_photo_is_refused_with_and_without_an_end_marker() {
    let refused = |file: &[u8]| {
        assert!(verdict(file).is_err(), "{} bytes", file.len());
        assert!(
            verdict(&[file, &[0xff, marker::EOI]].concat()).is_err(),
            "{} bytes and an end marker",
            file.len()
        );
    };
    refused(&photo("edge/trunc.jpg"));
    for name in [
        "portrait/00_astronaut.jpg",
        "edge/prog.jpg",
        "edge/gray.jpg",
        "edge/rot6.jpg",
    ] {
        let file = photo(name);
        (700..file.len() - 2)
            .step_by(19_997)
            .for_each(|length| refused(&file[..length]));
        refused(&file[..file.len() - 3]);
    }
    let restarting = jpeg(
        &picture(131, 77),
        Make {
            restart_interval: 2,
            ..Make::default()
        },
    );
    (700..restarting.len() - 2).for_each(|length| refused(&restarting[..length]));
}

#[test]
fn a_photo_cut_between_two_scans_is_refused() {
    let file = photo("edge/prog.jpg");
    let scans = file.windows(2).filter(|two| *two == [0xff, marker::SOS]).count();
    assert!(scans > 5);
    for scan in 1..scans {
        // The offset at which the scan's own tables begin.
        let end = file[..find(&file, marker::SOS, scan)]
            .windows(2)
            .rposition(|two| two == [0xff, marker::DHT]);
        let cut = [&file[..end.unwrap()], &[0xff, marker::EOI]].concat();
        assert!(verdict(&cut).is_err(), "{scan} scans of {scans}");
    }
}

#[test]
fn a_missing_restart_interval_is_refused() {
    let file = jpeg(
        &picture(64, 48),
        Make {
            restart_interval: 2,
            ..Make::default()
        },
    );
    let (from, to) = (find(&file, marker::RST0 + 1, 0), find(&file, marker::RST0 + 2, 0));
    assert!(verdict(&[&file[..from], &file[to..]].concat()).is_err());
}

#[test]
fn surplus_bytes_before_the_end_are_tolerated() {
    let file = jpeg(&picture(64, 48), Make::default());
    let end = file.len() - 2;
    assert_eq!(
        verdict(&[&file[..end], &[0, 0, 0], &file[end..]].concat()),
        Ok(())
    );
    assert_eq!(
        verdict(&[&file[..end], &[0xff, 0xff], &file[end..]].concat()),
        Ok(())
    );
}

#[test]
fn a_file_that_lacks_a_table_is_refused() {
    let without = |file: &[u8], code: u8| {
        let at = find(file, code, 0);
        let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        verdict(&[&file[..at], &file[at + 2 + length..]].concat())
    };
    let progressive = Make {
        progressive: true,
        ..Make::default()
    };
    assert!(without(&jpeg(&picture(64, 48), Make::default()), marker::DQT).is_err());
    assert!(without(&jpeg(&picture(64, 48), progressive), marker::DHT).is_err());
}

#[test]
fn segments_that_decide_the_colours_stay() {
    let plain = jpeg(&picture(64, 48), Make::default());
    let profile = with_segment(&plain, marker::APP2, b"ICC_PROFILE\0\x01\x01profile");
    let adobe = with_segment(&profile, marker::APP14, b"Adobe\0\x64\0\0\0\0\x01");
    assert_eq!(stripped(adobe.clone()), adobe);
    assert!(decode(&adobe) == decode(&plain));
}

#[test]
fn segments_that_libjpeg_warns_of_are_corrected() {
    let plain = jpeg(&picture(64, 48), Make::default());
    let bare = [&plain[..2], &plain[20..]].concat();
    let jfif = with_segment(
        &bare,
        marker::APP0,
        b"JFIF\0\x02\x01\0\0\x01\0\x01\x01\x01\xff\xff\xff",
    );
    assert_eq!(
        stripped(jfif),
        with_segment(&bare, marker::APP0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0"),
        "a thumbnail goes, and what means YCbCr stays"
    );
    let adobe = |payload: &[u8]| stripped(with_segment(&bare, marker::APP14, payload));
    let one = with_segment(&bare, marker::APP14, b"Adobe\0\x64\0\0\0\0\x01");
    assert_eq!(adobe(b"Adobe\0\x64\0\0\0\0\x01SECRET settings"), one);
    assert_eq!(
        adobe(b"Adobe\0\x64\0\0\0\0\x07"),
        one,
        "an unknown transform is read as YCbCr"
    );
    assert_eq!(adobe(b"Adobe\0\x64"), bare);
    for profile in [
        b"ICC_PROFILE\0".as_slice(),
        b"ICC_PROFILE\0\x01\x02half",
        b"ICC_PROFILE\0\x02\x01x",
    ] {
        assert_eq!(stripped(with_segment(&plain, marker::APP2, profile)), plain);
    }
    let restarting = jpeg(
        &picture(64, 48),
        Make {
            restart_interval: 2,
            ..Make::default()
        },
    );
    for code in [marker::RST0, marker::RST0 + 1, marker::EOI] {
        let at = find(&restarting, code, 0);
        let surplus = [&restarting[..at], b"\0\xff\0\0", &restarting[at..]].concat();
        assert_eq!(stripped(surplus), restarting, "surplus before {code:x}");
    }
    assert_eq!(
        stripped(plain[..plain.len() - 2].to_vec()),
        plain,
        "an end marker"
    );
}

#[test]
fn metadata_of_the_camera_and_the_user_is_dropped() {
    let plain = jpeg(
        &picture(64, 48),
        Make {
            progressive: true,
            ..Make::default()
        },
    );
    let segments: [(u8, &[u8]); 9] = [
        (marker::APP1, b"Exif\0\0MM\0*"),
        (marker::APP1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        (marker::APP2, b"MPF\0II*\0"),
        (marker::APP0, b"JFXX\0\x10"),
        (marker::APP0, b"JFIF\0\x01\x02\0\0\x01\0\x01\x01\x01\xff\xff\xff"),
        (0xe3, b"anything"),
        (0xeb, b"JP C2PA"),
        (0xed, b"Photoshop 3.0\0IPTC"),
        (0xfe, b"a comment"),
    ];
    for (code, payload) in segments {
        assert_eq!(stripped(with_segment(&plain, code, payload)), plain, "{code:x}");
    }
    assert_eq!(
        stripped([&plain, b"\xff\xd8\xff\xe1 a second picture".as_slice()].concat()),
        plain
    );
    // The same between two scans of a progressive file.
    let at = find(&plain, marker::SOS, 1);
    let inside = [&plain[..at], &[0xff, 0xfe, 0, 5], b"abc", &plain[at..]].concat();
    assert_eq!(verdict(&inside), Ok(()));
    assert_eq!(stripped(inside), plain);
}

#[test]
fn the_header_tells_orientation_and_colours() {
    let plain = jpeg(&picture(64, 48), Make::default());
    let orientation = |file: &[u8]| Header::read(file).unwrap().orientation;
    assert_eq!(orientation(&plain), Orientation::NoTransforms);
    assert_eq!(orientation(&with_orientation(&plain, 6)), Orientation::Rotate90);
    assert_eq!(
        orientation(&with_orientation(&plain, 9)),
        Orientation::NoTransforms
    );
    assert_eq!(orientation(&photo("edge/rot6.jpg")), Orientation::Rotate90);
    let colour = |file: &[u8]| Header::read(file).unwrap().colour;
    assert_eq!(colour(&plain), Colour::YCbCr);
    assert_eq!(colour(&photo("edge/gray.jpg")), Colour::Grey);
    assert_eq!(colour(&photo("edge/cmyk.jpg")), Colour::FourInks);
    // Adobe's flag counts if there is no JFIF header.
    let at = find(&plain, marker::APP0, 0);
    let bare = [&plain[..at], &plain[at + 18..]].concat();
    let rgb = with_segment(&bare, marker::APP14, b"Adobe\0\x64\0\0\0\0\0");
    assert_eq!(colour(&bare), Colour::YCbCr);
    assert_eq!(colour(&rgb), Colour::Rgb);
}

#[test]
fn a_file_of_nothing_but_segments_or_scans_is_refused() {
    let file = jpeg(&picture(8, 8), Make::default());
    let segments = [&file[..2], &[0xff, 0xfe, 0, 2].repeat(5000), &file[2..]].concat();
    assert_eq!(
        verdict(&segments),
        Err(PhotoProblem::damaged("it has too many segments"))
    );
    let at = find(&file, marker::SOS, 0);
    let scans = [
        &file[..at],
        &file[at..file.len() - 2].repeat(101),
        &[0xff, marker::EOI],
    ]
    .concat();
    assert_eq!(
        verdict(&scans),
        Err(PhotoProblem::damaged("it has too many scans"))
    );
}

/// Everything that our code does with a file before another crate's decoder sees it.
fn walk(bytes: Vec<u8>) {
    let file = Bytes::from(bytes);
    drop(Header::read(&file));
    if let Ok(jpeg) = Jpeg::parse(&file) {
        let verified = jpeg.verify();
        let parts = jpeg
            .without_metadata(&file, verified.as_ref().unwrap_or(&Verified::default()))
            .concat();
        let again = Jpeg::parse(&parts);
        assert_eq!(again.as_ref().map(drop), Ok(()), "what is left can be read again");
        if let (Ok(verified), Ok(again)) = (verified, again) {
            let second = again.verify().unwrap();
            assert_eq!((second.oddity, second.surplus), (verified.oddity, vec![]));
            drop(jpeg.for_decoder(&file, &verified));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_jpeg_panics_the_walker(
        which in 0..4_usize,
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let make = |progressive, restart_interval| {
            jpeg(&picture(40, 24), Make { progressive, restart_interval, ..Make::default() })
        };
        let jpeg = match which {
            0 => make(false, 0),
            1 => make(false, 3),
            2 => make(true, 0),
            // Has refining scans, which our encoder does not write.
            _ => photo("edge/prog_small.jpg").to_vec(),
        };
        let mut bytes = with_orientation(&jpeg, 6);
        for (at, byte) in mutations {
            let at = at.index(bytes.len() - 2) + 2;
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() - 2) + 2);
        }
        walk(bytes);
    }

    #[test]
    fn no_bytes_behind_a_start_marker_panic_the_walker(tail in prop::collection::vec(any::<u8>(), 0..600)) {
        walk([&[0xff, marker::SOI], tail.as_slice()].concat());
    }
}
