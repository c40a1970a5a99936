//! The expected tones were computed by Little CMS 2 (Pillow's `ImageCms`, relative colorimetric, to sRGB).

use super::*;

/// A profile for grey with this curve, and filler that our code does not read.
fn profile(between: [u8; 4], curve: &[u8]) -> Vec<u8> {
    let mut profile = vec![0; HEADER];
    profile[16..20].copy_from_slice(b"GRAY");
    profile[20..24].copy_from_slice(&between);
    profile.extend([0, 0, 0, 2]);
    for (name, start, length) in [(b"wtpt", 0, 20), (b"kTRC", HEADER + 4 + 24, curve.len())] {
        profile.extend(name);
        for number in [start, length] {
            profile.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
    }
    profile.extend(curve);
    profile
}

fn curve(points: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let points: Vec<_> = points.into_iter().collect();
    let mut tag = b"curv\0\0\0\0".to_vec();
    tag.extend(u32::try_from(points.len()).unwrap().to_be_bytes());
    tag.extend(points.iter().flat_map(|point| point.to_be_bytes()));
    tag
}

fn parametric(kind: u8, numbers: &[f64]) -> Vec<u8> {
    let mut tag = b"para\0\0\0\0\0".to_vec();
    tag.extend([kind, 0, 0]);
    #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
    let fixed = |number: &f64| ((number * 65536.0).round() as i32).to_be_bytes();
    tag.extend(numbers.iter().flat_map(fixed));
    tag
}

/// The dot gain of a printing press, which prints dots larger than they should be.
const DOT_GAIN: [u16; 17] = [
    0, 843, 2385, 4454, 6985, 9940, 13_293, 17_022, 21_111, 25_548, 30_320, 35_419, 40_835, 46_561, 52_590,
    58_917, 65_535,
];

#[test]
fn a_tone_is_what_its_profile_means() {
    let eighths = (0..=32_u16).map(|step| u16::try_from(65_535 * u32::from(step) / 32).unwrap());
    let cases = [
        (
            "light itself",
            profile(*b"XYZ ", &curve([])),
            [0, 71, 137, 188, 225, 248, 255],
        ),
        (
            "gamma 2.2",
            profile(*b"XYZ ", &curve([563])),
            [0, 7, 62, 129, 193, 240, 255],
        ),
        (
            "lightness",
            profile(*b"Lab ", &curve(eighths)),
            [0, 20, 60, 119, 185, 238, 255],
        ),
        (
            "a press",
            profile(*b"XYZ ", &curve(DOT_GAIN)),
            [0, 30, 92, 154, 207, 244, 255],
        ),
        (
            "a power",
            profile(*b"XYZ ", &parametric(0, &[1.8])),
            [0, 20, 81, 146, 203, 243, 255],
        ),
        (
            "a power beyond a point",
            profile(*b"XYZ ", &parametric(1, &[2.0, 0.9, 0.1])),
            [25, 43, 92, 150, 204, 243, 255],
        ),
        (
            "the same, raised by nothing",
            profile(*b"XYZ ", &parametric(2, &[2.0, 0.9, 0.1, 0.0])),
            [25, 43, 92, 150, 204, 243, 255],
        ),
        (
            "sRGB's own",
            profile(
                *b"XYZ ",
                &parametric(3, &[2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045]),
            ),
            [0, 16, 64, 128, 192, 240, 255],
        ),
        (
            "all seven numbers",
            profile(
                *b"XYZ ",
                &parametric(4, &[2.4, 0.9, 0.1, 0.05, 0.04, 0.01, 0.005]),
            ),
            [16, 40, 79, 137, 197, 242, 255],
        ),
    ];
    for (what, profile, expected) in cases {
        let tones = tones(&profile).expect(what);
        let found = [0, 16, 64, 128, 192, 240, 255].map(|sample| tones[sample]);
        let off = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(1), "{what}: {found:?}, not {expected:?}");
    }
}

#[test]
fn a_table_is_read_between_its_points() {
    let tones = tones(&profile(*b"XYZ ", &curve(DOT_GAIN))).unwrap();
    assert!(tones.is_sorted());
    // 8 lies in the middle between the first two points: half of 843 of 65535.
    assert_eq!((tones[0], tones[8], tones[255]), (0, 19, 255));
}

#[test]
fn what_is_no_profile_of_grey_is_left_alone() {
    let good = profile(*b"XYZ ", &curve([]));
    assert!(tones(&good).is_some());
    let mut rgb = good.clone();
    rgb[16..20].copy_from_slice(b"RGB ");
    let bad = [
        ("colours", rgb),
        ("all black", profile(*b"XYZ ", &curve([0, 0]))),
        ("a negative", profile(*b"XYZ ", &curve([65_535, 0]))),
        ("a power of nothing", profile(*b"XYZ ", &curve([0]))),
        ("a table for printing", profile(*b"XYZ ", b"mft2\0\0\0\0")),
        (
            "a formula of next year",
            profile(*b"XYZ ", &parametric(5, &[1.0; 7])),
        ),
        (
            "no number at all",
            profile(*b"XYZ ", &parametric(1, &[1.0, 0.0, 0.0])),
        ),
        (
            "too few points",
            profile(*b"XYZ ", b"curv\0\0\0\0\xff\xff\xff\xff\0\0"),
        ),
    ];
    for (what, profile) in bad {
        assert!(tones(&profile).is_none(), "{what}");
    }
    for length in 0..good.len() {
        assert!(tones(&good[..length]).is_none(), "the first {length} bytes");
    }
}
