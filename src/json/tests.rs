use super::*;
use serde::de::IgnoredAny;

/// Texts that are changed byte by byte, and compared with `serde_json`.
const TEXTS: [&str; 6] = [
    r#" { "a" : [ 1 , -2.5e+3 , {"b":null, "":[]} ] , "c" : true, "d":false } "#,
    r#"{"é\u00e9\ud83d\ude00":"\"\\\/\b\f\n\r\t日本"}"#,
    r#"[[[[{}],[]]],0,10,-0,0.0,1E9,"x",[{"k":{"k":[]}}]]"#,
    r#"[18446744073709551615, 18446744073709551616, 00]"#,
    r#""\ud800\u0041\udc00""#,
    "[\"\u{7f}\",\t\r\n1]",
];

/// Calls `check` with every text, every start of it, and the text with any byte replaced.
fn with_every_change(check: impl Fn(&str)) {
    for text in TEXTS {
        for at in 0..text.len() {
            text.get(..at).into_iter().for_each(&check);
            for byte in b" \"\\,:[]{}019-+.eEuntfr/\x08\x1fx" {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = *byte;
                str::from_utf8(&bytes).into_iter().for_each(&check);
            }
        }
        check(text);
    }
}

#[test]
fn skips_what_is_json_and_nothing_else() {
    with_every_change(|text| {
        let mut json = Json::new("the text", text, 0);
        let skipped = json.skip().and_then(|()| json.end());
        assert_eq!(skipped.is_ok(), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
    });
}

#[test]
fn reads_strings_and_numbers_as_others_do() {
    with_every_change(|text| {
        for start in text.char_indices().map(|(at, _)| at).filter(|&at| b"\"[".contains(&text.as_bytes()[at])) {
            for end in start..=text.len() {
                let Some(text) = text.get(start..end).filter(|text| text.ends_with(['"', ']'])) else { continue };
                let mut json = Json::new("the text", text, 0);
                let string = json.string().and_then(|string| json.end().map(|()| string)).ok();
                assert_eq!(string.as_deref(), serde_json::from_str::<String>(text).ok().as_deref(), "{text}");
                let mut json = Json::new("the text", text, 0);
                let numbers = json.numbers().and_then(|numbers| json.end().map(|()| numbers)).ok();
                assert_eq!(numbers, serde_json::from_str(text).ok(), "{text}");
            }
        }
    });
}

#[test]
fn numbers_that_people_write_are_exact() {
    for text in ["16", "0.1", "-0.05", "1e-4", "3.14159", "2.5E+3", "9007199254740991", "-0", "0e999", "1e22"] {
        assert_eq!(value_of(text).to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    let texts = ["0.12345678901234567890123", "123456789012345678901234567890", "1e300", "7.5e-300", "0.3e-30"];
    for (text, value) in texts.map(|text| (text, text.parse::<f64>().unwrap())) {
        assert!((value_of(text) / value - 1.0).abs() < 1e-14, "{text}");
    }
    assert_eq!(
        ["1e400", "-1e99999999999999999999", "1e-99999999999999999999"].map(value_of),
        [f64::INFINITY, f64::NEG_INFINITY, 0.0]
    );
}

#[test]
fn tells_the_place_of_a_fault() {
    let error = Json::new("the text", "[1, x]", 8).numbers().expect_err("no number");
    assert_eq!((error.offset(), error.to_string().contains("a digit")), (Some(12), true));
}
