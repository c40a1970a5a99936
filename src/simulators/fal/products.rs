//! The weights that a training makes: a real file, but small.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A LoRA as diffusers would write it: the safetensors container with a handful of F16 matrices of rank 16.
///
/// Its metadata holds the trigger word and a photo, by which pictures show whose LoRA it is.
///
/// Layout: header length (u64, little-endian), header (JSON, padded with spaces to 8 bytes), data.
pub(super) fn lora_weights(seed: u64, trigger: &str, photo: &[u8]) -> Bytes {
    const RANK: usize = 16;
    const WIDTH: usize = 3072;
    const LAYERS: [&str; 2] = ["attn.to_q", "attn.to_k"];
    let mut header = Map::new();
    header.insert(
        "__metadata__".to_owned(),
        json!({ "format": "pt", "trigger": trigger, "photo": STANDARD.encode(photo) }),
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

/// What the simulator finds in a LoRA.
pub(super) struct LoraFacts {
    /// The trigger word; a file of another origin need not say it.
    pub trigger: Option<String>,
    /// The first photo of the archive, if the simulator trained it.
    pub photo: Option<Bytes>,
}

/// `None`: it is no well-formed safetensors file, which flux-lora would notice when it loads one.
pub(super) fn lora_facts(file: &[u8]) -> Option<LoraFacts> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    let Ok(Value::Object(header)) = serde_json::from_slice(header) else {
        return None;
    };
    let ends = header
        .values()
        .filter_map(|tensor| tensor.pointer("/data_offsets/1")?.as_u64());
    let is_whole = ends.max() == Some(data.len() as u64);
    let metadata = |key: &str| header.get("__metadata__")?.get(key)?.as_str();
    let photo = metadata("photo").and_then(|text| STANDARD.decode(text).ok());
    is_whole.then(|| LoraFacts {
        trigger: metadata("trigger").map(str::to_owned),
        photo: photo.map(Bytes::from),
    })
}

/// The random generator `SplitMix64`. It is deterministic: the same seed draws the same picture.
pub(super) struct Noise(pub u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
