//! Whether a file is a whole safetensors file: what a LoRA is shipped as, here and at FAL.
//!
//! 8 bytes of header length (little endian), a JSON object of tensors with their place in the data, then exactly that
//! data. Source: the format's description (huggingface/safetensors). The data itself is not judged.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

use serde::Deserialize;
use serde_json::Value;

/// The format's own limit for its JSON header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Why a file is no safetensors file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NotSafetensors {
    #[error("the model file ends within its first 8 bytes")]
    Empty,
    #[error("the model's header claims {0} bytes")]
    HeaderSize(u64),
    #[error("the model's header is no JSON object of tensors")]
    Header,
    #[error("the model's tensor {0:?} does not have the size of its shape")]
    Shape(String),
    #[error("the model's tensors overlap or leave a gap at byte {0}")]
    Gap(u64),
    #[error("the model's tensors end at byte {promised} of a file of {bytes}")]
    Length { promised: u64, bytes: u64 },
    #[error("the model file cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Tensor {
    /// `None`: of a type that is newer than this code, or larger than numbers are.
    fn bytes(&self) -> Option<u64> {
        let bits: u64 = match self.dtype.as_str() {
            "F64" | "I64" | "U64" => 64,
            "F32" | "I32" | "U32" => 32,
            "F16" | "BF16" | "I16" | "U16" => 16,
            "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 8,
            _ => return None,
        };
        let elements = self
            .shape
            .iter()
            .try_fold(1_u64, |product, side| product.checked_mul(*side))?;
        elements.checked_mul(bits / 8)
    }
}

/// Checks a file of `bytes` bytes. Leaves it rewound.
pub(super) fn check(file: &mut File, bytes: u64) -> Result<(), NotSafetensors> {
    let unreadable = |error: io::Error| NotSafetensors::Unreadable(error.to_string());
    file.rewind().map_err(unreadable)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| NotSafetensors::Empty)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length.saturating_add(8) > bytes {
        return Err(NotSafetensors::HeaderSize(length));
    }
    let header: serde_json::Map<String, Value> =
        serde_json::from_reader((&mut *file).take(length)).map_err(|_| NotSafetensors::Header)?;
    let end = end_of_tensors(header)?;
    let promised = end.saturating_add(length).saturating_add(8);
    if promised != bytes {
        return Err(NotSafetensors::Length { promised, bytes });
    }
    file.rewind().map_err(unreadable)
}

/// Where the data ends: tensors lie side by side, from the data's first byte to its last.
fn end_of_tensors(header: serde_json::Map<String, Value>) -> Result<u64, NotSafetensors> {
    let mut places = Vec::new();
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let tensor: Tensor = serde_json::from_value(value).map_err(|_| NotSafetensors::Header)?;
        let (from, to) = tensor.data_offsets;
        let length = to.checked_sub(from).ok_or(NotSafetensors::Header)?;
        if tensor.bytes().is_some_and(|bytes| bytes != length) {
            return Err(NotSafetensors::Shape(name.chars().take(100).collect()));
        }
        places.push((from, to));
    }
    if places.is_empty() {
        return Err(NotSafetensors::Header);
    }
    places.sort_unstable();
    places.into_iter().try_fold(0, |end, (from, to)| {
        if from == end {
            Ok(to)
        } else {
            Err(NotSafetensors::Gap(end))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn checked(content: &[u8]) -> Result<(), NotSafetensors> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content).expect("written");
        check(&mut file, content.len() as u64)
    }

    fn model(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    const ONE_TENSOR: &str =
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#;
    const TWO_TENSORS: &str = r#"{"b":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#;

    #[test]
    fn a_whole_model_is_accepted() {
        assert_eq!(checked(&model(ONE_TENSOR, 8)), Ok(()));
        assert_eq!(checked(&model(TWO_TENSORS, 16)), Ok(()));
        let of_tomorrow = ONE_TENSOR.replace("F16", "F4_NEW");
        assert_eq!(checked(&model(&of_tomorrow, 8)), Ok(()), "a type we do not know");
    }

    #[test]
    fn a_truncated_model_is_refused_at_every_byte() {
        let whole = model(ONE_TENSOR, 8);
        for bytes in 0..whole.len() {
            assert!(checked(&whole[..bytes]).is_err(), "cut to {bytes} bytes");
        }
    }

    #[test]
    fn an_empty_file_and_a_web_page_are_refused() {
        assert_eq!(checked(b""), Err(NotSafetensors::Empty));
        assert!(matches!(
            checked(b"<!doctype html><title>404</title>"),
            Err(NotSafetensors::HeaderSize(_))
        ));
        assert_eq!(checked(&model("{}", 0)), Err(NotSafetensors::Header));
        assert_eq!(checked(&model("[1]", 0)), Err(NotSafetensors::Header));
    }

    #[test]
    fn tensors_that_do_not_fit_their_shape_or_each_other_are_refused() {
        let wrong_shape = ONE_TENSOR.replace("[4]", "[5]");
        assert_eq!(
            checked(&model(&wrong_shape, 8)),
            Err(NotSafetensors::Shape("a".into()))
        );
        let overlapping = TWO_TENSORS.replace("[8,16]", "[4,12]");
        assert_eq!(checked(&model(&overlapping, 12)), Err(NotSafetensors::Gap(8)));
        let backwards = ONE_TENSOR.replace("[0,8]", "[8,0]");
        assert_eq!(checked(&model(&backwards, 8)), Err(NotSafetensors::Header));
    }
}
