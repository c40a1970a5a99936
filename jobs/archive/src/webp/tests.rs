//! Which statements of a WebP file are believed.

use super::*;
use crate::{PhotoInfo, PhotoLimits, inspect};

fn look(bytes: &[u8]) -> Result<PhotoInfo, PhotoProblem> {
    inspect(bytes, &PhotoLimits::default())
}

fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, content) in chunks {
        body.extend_from_slice(*name);
        body.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        body.extend_from_slice(content);
    }
    [
        b"RIFF",
        u32::try_from(body.len()).unwrap().to_le_bytes().as_slice(),
        &body,
    ]
    .concat()
}

#[test]
fn a_webp_must_be_what_its_first_chunk_says() {
    // 64×64 in VP8X and in VP8, and a frame of 16383×16383.
    let canvas = [0, 0, 0, 0, 63, 0, 0, 63, 0, 0];
    let frame = [0, 0, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0];
    let bomb = [0, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f];
    let code =
        |chunks: &[(&[u8; 4], &[u8])]| look(&webp(chunks)).map_err(|problem| problem.code().to_owned());
    assert_eq!(
        code(&[(b"VP8X", &canvas), (b"VP8 ", &frame)]).map(|info| info.width),
        Ok(64)
    );
    assert_eq!(
        code(&[(b"VP8X", &canvas), (b"VP8 ", &bomb)]),
        Err("damaged".into())
    );
    assert_eq!(code(&[(b"VP8 ", &bomb)]), Err("too_many_pixels".into()));
    assert_eq!(code(&[(b"VP8X", &canvas)]), Err("damaged".into()));
    // Believing this chunk, the decoder would ask for as much memory as it claims.
    let mut liar = webp(&[(b"VP8 ", &frame), (b"EXIF", b"Exif")]);
    let size_at = liar.len() - 8;
    liar[size_at..size_at + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(look(&liar).unwrap_err().code(), "damaged");
}

/// A `VP8X` of 64×64 with these flags.
fn extended(flags: u8) -> [u8; 10] {
    [flags, 0, 0, 0, 63, 0, 0, 63, 0, 0]
}

const LOSSY: [u8; 10] = [0, 0, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0];

#[test]
fn flags_without_their_chunk_are_cleared_and_no_others() {
    let flags_of = |chunks: &[(&[u8; 4], &[u8])]| {
        let file = Bytes::from(webp(chunks));
        WebP::parse(&file).unwrap().decodable(&file)[FLAGS_AT]
    };
    let all = extended(0x3e);
    assert_eq!(flags_of(&[(b"VP8X", &all), (b"VP8 ", &LOSSY)]), 0);
    let metadata: [(&[u8; 4], &[u8]); 4] = [
        (b"EXIF", b"xx"),
        (b"XMP ", b"xx"),
        (b"ICCP", b"xx"),
        (b"ALPH", b"xx"),
    ];
    let kept = [flag::EXIF, flag::XMP, flag::PROFILE, flag::ALPHA];
    for (chunk, kept) in metadata.into_iter().zip(kept) {
        assert_eq!(flags_of(&[(b"VP8X", &all), chunk, (b"VP8 ", &LOSSY)]), kept);
    }
    // A lossless picture has its alpha within.
    let lossless = [0x2f, 63, 0xc0, 0x0f, 0x10];
    assert_eq!(flags_of(&[(b"VP8X", &all), (b"VP8L", &lossless)]), flag::ALPHA);
}

#[test]
fn a_frame_of_an_animation_must_lie_on_its_canvas() {
    // Offsets in steps of two, size minus one, duration, flags; then a picture of 64×64.
    let frame = |x: u8, width: u8| {
        let head = [x, 0, 0, 0, 0, 0, width - 1, 0, 0, 63, 0, 0, 0, 0, 0, 0];
        [head.as_slice(), b"VP8 \x0a\0\0\0", &LOSSY].concat()
    };
    let parsed = |frame: &[u8]| {
        let file = webp(&[
            (b"VP8X", &extended(flag::ANIMATION)),
            (b"ANIM", &[0; 6]),
            (b"ANMF", frame),
        ]);
        WebP::parse(&file).map(|webp| (webp.animated, webp.flags))
    };
    assert_eq!(parsed(&frame(0, 64)), Ok((true, None)));
    assert!(parsed(&frame(1, 64)).is_err(), "beyond the edge");
    assert!(parsed(&frame(0, 60)).is_err(), "larger than it says");
    assert!(parsed(&frame(0, 64)[..20]).is_err(), "cut");
    // No flag says that this is an animation, but there is no other picture.
    let file = webp(&[
        (b"VP8X", &extended(0)),
        (b"ANIM", &[0; 6]),
        (b"ANMF", &frame(0, 64)),
    ]);
    assert_eq!(
        WebP::parse(&file).map(|webp| webp.flags),
        Ok(Some(flag::ANIMATION))
    );
}
