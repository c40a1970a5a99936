//! Checks that a file is a whole safetensors file, the format of every `LoRA` here and at FAL.
//!
//! Eight bytes of header length (little endian), a JSON object of tensors with their places in the data, then exactly
//! that data. Source: the format's description (huggingface/safetensors). The data itself is not checked.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, Read, Seek},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Far above any LoRA's: six thousand tensors take 0.8 MB. (The format's own limit
/// of 100 MB is too much memory for us.)
const MAX_HEADER_BYTES: u64 = 10_000_000;
/// No tensor has this many dimensions.
const MAX_SIDES: usize = 64;

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

/// The parts of a tensor that are checked, as they stand in the header; nothing else is kept.
#[derive(Deserialize)]
struct Tensor<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: (u64, u64),
}

impl Tensor<'_> {
    /// The tensor's size in bytes. `None`: its type is newer than this code, or the number is too large.
    fn bytes(&self) -> Option<u64> {
        let bits: u64 = match &*self.dtype {
            "F64" | "I64" | "U64" => 64,
            "F32" | "I32" | "U32" => 32,
            "F16" | "BF16" | "I16" | "U16" => 16,
            "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 8,
            _ => return None,
        };
        self.shape.0?.checked_mul(bits / 8)
    }
}

/// The number of elements: the product of the dimensions. `None`: the number is too large.
struct Shape(Option<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Sides;
        impl<'de> Visitor<'de> for Sides {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the sides of a tensor")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Shape, A::Error> {
                let (mut elements, mut count) = (Some(1_u64), 0);
                while let Some(side) = sides.next_element::<u64>()? {
                    elements = elements.and_then(|elements| elements.checked_mul(side));
                    count += 1;
                    if count > MAX_SIDES {
                        return Err(A::Error::custom("too many sides"));
                    }
                }
                Ok(Shape(elements))
            }
        }
        from.deserialize_seq(Sides)
    }
}

/// The parts of the header that are kept: where each tensor lies.
#[derive(Default)]
struct Places {
    from_to: Vec<(u64, u64)>,
    /// The first tensor whose size does not fit its shape.
    misshapen: Option<String>,
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut header: A) -> Result<Places, A::Error> {
                let (mut places, mut names) = (Places::default(), HashSet::new());
                while let Some(name) = header.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let tensor: Tensor<'de> = header.next_value()?;
                    let (from, to) = tensor.data_offsets;
                    let length = to
                        .checked_sub(from)
                        .ok_or_else(|| A::Error::custom("it ends before it begins"))?;
                    if places.misshapen.is_none() && tensor.bytes().is_some_and(|bytes| bytes != length) {
                        places.misshapen = Some(name.chars().take(100).collect());
                    }
                    places.from_to.push((from, to));
                    // Readers use the last of two tensors with one name, and leave the first one's bytes unused.
                    if !names.insert(name) {
                        return Err(A::Error::custom("a tensor is there twice"));
                    }
                }
                Ok(places)
            }
        }
        from.deserialize_map(Tensors)
    }
}

/// Checks a file of `bytes` bytes, and rewinds it.
pub(super) fn check(file: &mut File, bytes: u64) -> Result<(), NotSafetensors> {
    let unreadable = |error: io::Error| NotSafetensors::Unreadable(error.to_string());
    file.rewind().map_err(unreadable)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| NotSafetensors::Empty)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length.saturating_add(8) > bytes {
        return Err(NotSafetensors::HeaderSize(length));
    }
    // Read at once, and parsed without building a tree: the header is a stranger's, and may be nothing but brackets.
    let mut header = vec![0; usize::try_from(length).map_err(|_| NotSafetensors::HeaderSize(length))?];
    file.read_exact(&mut header).map_err(unreadable)?;
    let places = serde_json::from_slice::<Places>(&header).map_err(|_| NotSafetensors::Header)?;
    let end = end_of_tensors(places)?;
    let promised = end.saturating_add(length).saturating_add(8);
    if promised != bytes {
        return Err(NotSafetensors::Length { promised, bytes });
    }
    file.rewind().map_err(unreadable)
}

/// Where the data ends: the tensors must lie side by side, from the first byte of the data to the last.
fn end_of_tensors(places: Places) -> Result<u64, NotSafetensors> {
    let Places {
        mut from_to,
        misshapen,
    } = places;
    if let Some(name) = misshapen {
        return Err(NotSafetensors::Shape(name));
    }
    if from_to.is_empty() {
        return Err(NotSafetensors::Header);
    }
    from_to.sort_unstable();
    from_to.into_iter().try_fold(0, |end, (from, to)| {
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

    /// Ten megabytes each, the most that is read at all. Built without optimisation this takes a second or two; with
    /// a JSON tree, read byte by byte, it took half a minute and a gigabyte.
    #[test]
    fn a_header_of_nothing_but_brackets_is_refused_in_moments() {
        let most = usize::try_from(MAX_HEADER_BYTES).expect("a size");
        let filled = |before: &str, filler: &str, after: &str| {
            let times = (most - before.len() - after.len()) / filler.len();
            format!("{before}{}{after}", filler.repeat(times))
        };
        let many = (0..100_000_u64)
            .map(|n| {
                format!(
                    r#""{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{n},{}]}}"#,
                    n + 1
                )
            })
            .collect::<Vec<_>>();
        let begun = std::time::Instant::now();
        for (header, data, is_a_model) in [
            (filled("[", "[],", "[]]"), 0, false),
            (filled(r#"{"x":["#, "[],", "[]]}"), 0, false),
            (filled(r#"{"x":["#, "0,", "0]}"), 0, false),
            ("[".repeat(most), 0, false),
            (r#"{"a":"#.repeat(most / 5), 0, false),
            (
                filled(
                    r#"{"x":{"dtype":"U8","data_offsets":[0,1],"shape":["#,
                    "1,",
                    "1]}}",
                ),
                1,
                false,
            ),
            (
                filled(
                    r#"{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"__metadata__":{"x":["#,
                    "[],",
                    "[]]}}",
                ),
                8,
                true,
            ),
            (format!("{{{}}}", many.join(",")), 100_000, true),
        ] {
            let start = header.get(..60).unwrap_or(&header).to_owned();
            assert_eq!(checked(&model(&header, data)).is_ok(), is_a_model, "{start}");
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
        assert_eq!(
            checked(&model(&" ".repeat(most + 1), 0)),
            Err(NotSafetensors::HeaderSize(MAX_HEADER_BYTES + 1))
        );
    }

    #[test]
    fn a_tensor_that_is_there_twice_is_refused() {
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
        assert_eq!(checked(&model(twice, 2)), Err(NotSafetensors::Header));
    }
}
