use serde_json::json;

use super::*;

#[test]
fn what_postgres_cannot_store_is_named() {
    for (raw, problem) in [
        (r#""a\u0000b""#, Unstorable::Nul),
        (r#"{"a\u0000b":1}"#, Unstorable::Nul),
        (r#"["\\\u0000"]"#, Unstorable::Nul),
        (r#""\ud800""#, Unstorable::LoneSurrogate),
        (r#""\ud83d x""#, Unstorable::LoneSurrogate),
        (r#""\ud83d\ud83d""#, Unstorable::LoneSurrogate),
        (r#""\ude00\ud83d""#, Unstorable::LoneSurrogate),
        (r#"{"a":"\uDFFF"}"#, Unstorable::LoneSurrogate),
        ("[1e400000]", Unstorable::NumberTooLong),
        ("-1E-1000", Unstorable::NumberTooLong),
    ] {
        assert_eq!(check_json(raw), Err(problem), "{raw}");
    }
    assert_eq!(check_json(&"9".repeat(1001)), Err(Unstorable::NumberTooLong));
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(check_json(&nested(MAX_DEPTH + 1)), Err(Unstorable::TooDeep));
    assert_eq!(check_json(&nested(MAX_DEPTH)), Ok(()));
    assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH)).is_ok());
    assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH + 1)).is_err());
}

#[test]
fn a_text_that_only_resembles_an_unstorable_one_is_accepted() {
    for raw in [
        r#"{"a":"\\u0000","b":"\\\\ud800","c":"\ud83d\ude00","d":[1,-2.5e300,0.0,null,true]}"#,
        r#""ends with \\""#,
        r#""\"[[[\"""#,
        "1e007",
        "{}",
    ] {
        assert_eq!(check_json(raw), Ok(()), "{raw}");
    }
}

#[test]
fn a_text_is_mended_once_and_for_all() {
    for text in [
        "",
        "fine",
        "x\0y",
        &"я".repeat(20_000),
        &"\0".repeat(9000),
        &"\0".repeat(MAX_ERROR_BYTES),
    ] {
        let mended = error_text(text).into_owned();
        assert!(mended.len() <= MAX_ERROR_BYTES, "{}", mended.len());
        assert_eq!(check_text(&mended), Ok(()));
        assert_eq!(error_text(&mended), mended);
    }
    assert_eq!(error_text("x\0y"), "x\u{fffd}y");
    let cut = error_text(&"я".repeat(20_000)).into_owned();
    assert!(
        cut.starts_with("яяя") && cut.ends_with("я … [cut: 40000 bytes in all]"),
        "{}",
        &cut[8000..]
    );
}

#[test]
fn a_document_is_mended_in_its_strings_and_in_its_names() {
    let mut value = json!({"a\0": ["b\0", {"c": "\0"}], "d": 1});
    mend_json(&mut value);
    assert_eq!(
        value,
        json!({"a\u{fffd}": ["b\u{fffd}", {"c": "\u{fffd}"}], "d": 1})
    );
    assert_eq!(check_json(&value.to_string()), Ok(()));
}

#[test]
fn moments_and_delays_have_an_end() {
    assert_eq!(delay(Duration::MAX), MAX_DELAY);
    for (moment, storable) in [
        (DateTime::<Utc>::MIN_UTC, false),
        (DateTime::UNIX_EPOCH, true),
        (DateTime::<Utc>::MAX_UTC, false),
    ] {
        assert_eq!(is_storable(moment), storable, "{moment}");
    }
}

#[test]
fn half_a_surrogate_pair_costs_a_document_one_character() {
    for (raw, read) in [
        (r#"["\ud83d","\ud83d\ude00"]"#, json!(["\u{fffd}", "😀"])),
        (
            r#"{"a":"x\ude00\ud83d y","\udfff":1}"#,
            json!({"a": "x\u{fffd}\u{fffd} y", "\u{fffd}": 1}),
        ),
        (
            r#"["\\ud83d","\ud83d\\ude00","\ud83d"]"#,
            json!(["\\ud83d", "\u{fffd}\\ude00", "\u{fffd}"]),
        ),
        (r#"["fine\n"]"#, json!(["fine\n"])),
    ] {
        assert_eq!(read_json(raw.as_bytes()).expect(raw), read, "{raw}");
    }
    for raw in ["", "[", r#""\ud83d"#, r#""\"#, r#"["\ud8"]"#, "\\"] {
        assert!(read_json(raw.as_bytes()).is_err(), "{raw}");
    }
}
