//! The results of runs: weights, configurations, pictures. They are real files, but small.

use std::io::Cursor;

use axum::body::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Map, Value, json};

/// A LoRA as diffusers would write it: the safetensors container with a handful of F16 matrices of rank 16.
///
/// Layout: header length (u64, little-endian), header (JSON, padded with spaces to 8 bytes), data.
pub(super) fn lora_weights(seed: u64, trigger: &str) -> Bytes {
    const RANK: usize = 16;
    const WIDTH: usize = 3072;
    const LAYERS: [&str; 2] = ["attn.to_q", "attn.to_k"];
    let mut header = Map::new();
    header.insert(
        "__metadata__".to_owned(),
        json!({ "format": "pt", "trigger": trigger }),
    );
    let mut end = 0;
    for layer in LAYERS {
        for (half, shape) in [("lora_A", [RANK, WIDTH]), ("lora_B", [WIDTH, RANK])] {
            let start = end;
            end += 2 * RANK * WIDTH;
            let tensor = json!({ "dtype": "F16", "shape": shape, "data_offsets": [start, end] });
            header.insert(
                format!("transformer.single_transformer_blocks.0.{layer}.{half}.weight"),
                tensor,
            );
        }
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend_from_slice(&(header.len() as u64).to_le_bytes());
    file.extend_from_slice(&header);
    let mut noise = Noise(seed);
    while file.len() < 8 + header.len() + end {
        // The exponent bits stay small, so that every value is a finite number near zero.
        let half = (noise.next() & 0x83ff) as u16 | 0x2000;
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.into()
}

/// Whether the bytes are a well-formed safetensors file, which flux-lora would check when it loads one.
pub(super) fn is_safetensors(file: &[u8]) -> bool {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return false;
    };
    let Ok(length) = usize::try_from(u64::from_le_bytes(*length)) else {
        return false;
    };
    let Some((header, data)) = rest.split_at_checked(length) else {
        return false;
    };
    let Ok(Value::Object(header)) = serde_json::from_slice(header) else {
        return false;
    };
    let ends = header
        .values()
        .filter_map(|tensor| tensor.pointer("/data_offsets/1")?.as_u64());
    ends.max() == Some(data.len() as u64)
}

/// A picture of soft colour blocks, which the seed determines.
pub(super) fn picture(
    seed: u64,
    [width, height]: [u32; 2],
    black: bool,
    format: ImageFormat,
) -> Option<Bytes> {
    let mut noise = Noise(seed);
    let [hue, tilt] = [noise.next(), noise.next()];
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        let shade = |shift: u64| {
            let wave = u64::from(x / 32) * (tilt >> shift & 7) + u64::from(y / 32) * (hue >> shift & 7);
            u8::try_from(((hue >> (shift * 2)) + wave * 5) & 0xff).unwrap_or(0)
        };
        if black {
            Rgb([0; 3])
        } else {
            Rgb([shade(0), shade(3), shade(6)])
        }
    });
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, format).ok()?;
    Some(file.into_inner().into())
}

/// The random generator `SplitMix64`. It is deterministic: the same seed draws the same picture.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
