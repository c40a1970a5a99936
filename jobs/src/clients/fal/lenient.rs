//! Reads FAL's JSON, even if a model or its runner wrote invalid JSON into it.
//!
//! A model's output passes through FAL unchanged, and Python writes things that JSON readers refuse: `NaN`, `1e400`,
//! half of a surrogate pair (fastapi/fastapi#459). Postgres refuses even more: NUL in a text or in `jsonb`. None of
//! that matters to a training, so it is repaired before it is read, in answers and in deliveries alike:
//!
//! | in the text                                             | is read as |
//! |---------------------------------------------------------|------------|
//! | `NaN`, `Infinity`, `undefined`, `None`                  | null       |
//! | a number that no `f64` holds, or that is written oddly  | null       |
//! | `\u0000`, half of a surrogate pair, bytes that are no UTF-8 | U+FFFD |
//! | a control character in a string                         | a space    |
//! | lists and objects deeper than [`DEEPEST`]               | null       |
//!
//! A text that is cut off, or was never JSON (a gateway's page), stays unreadable: nothing about it is guessed.

use serde_json::{Number, Value};

/// Deeper containers are cut off: `serde_json` gives up at 128, and so would code that walks the value recursively.
const DEEPEST: usize = 64;
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Reads one JSON text, repaired where needed.
pub(super) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&mended(body))
}

/// The text with unreadable parts replaced. One pass and no recursion, since the sender chooses the depth.
fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut out = String::with_capacity(rest.len());
    let mut depth = 0;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '"' => string(after, &mut out),
            '{' | '[' if depth == DEEPEST => {
                out.push_str("null");
                behind_container(rest)
            }
            '{' | '[' => {
                depth += 1;
                out.push(first);
                after
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                out.push(first);
                after
            }
            _ if is_between_words(first) => {
                out.push(first);
                after
            }
            _ => word(rest, &mut out),
        };
    }
    out
}

fn is_between_words(char: char) -> bool {
    matches!(
        char,
        ',' | ':' | '{' | '}' | '[' | ']' | '"' | ' ' | '\t' | '\n' | '\r'
    )
}

/// Copies a literal or a number. Anything else stays, so that the reader refuses it: a page is no JSON.
fn word<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let (word, after) = rest.split_at(rest.find(is_between_words).unwrap_or(rest.len()));
    let is_number = word.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.'));
    let means_nothing = match word {
        "NaN" | "nan" | "Infinity" | "inf" | "undefined" | "None" => true,
        _ => is_number && serde_json::from_str::<Number>(word).is_err(),
    };
    out.push_str(if means_nothing { "null" } else { word });
    after
}

/// Copies a string, from just after its opening quote, and returns the text after its closing quote. If that is
/// missing, the copy lacks it too, and cannot be read.
fn string<'a>(mut rest: &'a str, out: &mut String) -> &'a str {
    out.push('"');
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '"' => {
                out.push('"');
                return rest;
            }
            '\\' => rest = escape(rest, out),
            '\0' => out.push(REPLACEMENT),
            _ if first.is_ascii_control() => out.push(' '),
            _ => out.push(first),
        }
    }
    rest
}

/// Copies one escape, from just after its backslash.
fn escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(kind) = rest.chars().next() else {
        return rest;
    };
    let after = &rest[kind.len_utf8()..];
    match kind {
        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {
            out.push('\\');
            out.push(kind);
            after
        }
        'u' => match (unit(after), after.get(4..).unwrap_or_default()) {
            (Some(0) | None, _) => {
                out.push(REPLACEMENT);
                if unit(after).is_some() { &after[4..] } else { after }
            }
            (Some(high @ 0xd800..=0xdbff), behind) => {
                let low = behind.strip_prefix("\\u").and_then(unit);
                let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
                out.push(pair.unwrap_or(REPLACEMENT));
                if pair.is_some() { &behind[6..] } else { behind }
            }
            (Some(0xdc00..=0xdfff), behind) => {
                out.push(REPLACEMENT);
                behind
            }
            (Some(_), behind) => {
                out.push_str("\\u");
                out.push_str(&after[..4]);
                behind
            }
        },
        _ => rest,
    }
}

fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// The text after the list or object with which `rest` begins. Empty if it has no end.
fn behind_container(rest: &str) -> &str {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return &rest[at + 1..];
                }
            }
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn invalid_json_values_are_replaced() {
        for (text, read) in [
            (
                r#"{"loss": NaN, "a": -Infinity, "b": [Infinity, 1]}"#,
                json!({"loss": null, "a": null, "b": [null, 1]}),
            ),
            (
                r#"{"loss": 1e400, "n": -1e999}"#,
                json!({"loss": null, "n": null}),
            ),
            (r"[+1, .5, 1., 01, 2e3]", json!([null, null, null, null, 2000.0])),
            (r"[undefined, None, true]", json!([null, null, true])),
            (r#""a\u0000b""#, json!("a\u{fffd}b")),
            (r#"{"a\u0000b": 1}"#, json!({"a\u{fffd}b": 1})),
            (r#""\ud800""#, json!("\u{fffd}")),
            (r#""\ud800x\udc00\ud83d\ude00""#, json!("\u{fffd}x\u{fffd}😀")),
            (r#""\u00zz \x41""#, json!("\u{fffd}00zz x41")),
            ("\"a\nb\tc\0d\"", json!("a b c\u{fffd}d")),
            ("\u{feff}{}", json!({})),
        ] {
            assert_eq!(value(text), read, "{text}");
        }
        assert_eq!(read(b"\"a\xffb\"").ok(), Some(json!("a\u{fffd}b")));
    }

    #[test]
    fn depth_is_cut_off_and_what_is_beside_it_is_read() {
        let deep = format!(
            r#"{{"x": {}"]"{}, "file": "here"}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(value(&deep)["file"], "here");
    }

    #[test]
    fn what_was_cut_off_or_is_no_json_stays_unreadable() {
        for text in [
            "",
            "<html></html>",
            "<html><head><title>502</title></head></html>",
            r#"{"status":"COMPL"#,
            r#"{"a":[1,2"#,
            r#"{"a":"b""#,
            "Internal Server Error",
            &"[".repeat(1000),
            r#""\"#,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body);
        }

        #[test]
        fn json_as_it_should_be_is_read_as_it_is(text in "\\PC{0,40}", number in any::<i64>(), float in -1e300..1e300_f64) {
            let value = json!({"a": [text, number, {"b": float}], "c": null});
            prop_assert_eq!(read(value.to_string().as_bytes()).ok(), serde_json::from_str(&value.to_string()).ok());
        }

        #[test]
        fn nothing_that_is_read_holds_a_nul(text in r#"("|\\|u0000|\\u0000|[a-z\u{0}\u{7}])*"#) {
            let Ok(value) = read(format!("\"{text}\"").as_bytes()) else { return Ok(()) };
            prop_assert!(!value.as_str().unwrap_or_default().contains('\0'));
        }
    }
}
