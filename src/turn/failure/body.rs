//! The JSON body of a bad request, which Codex passes on unchanged.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{name, tables::CODES};
use crate::event::ErrorClass;

/// The fields that are read. All else is skipped: as values it could take many times its size.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

#[derive(Deserialize)]
struct Error<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

/// Returns the class of a body, and what may be recorded of it: its code.
pub(super) fn of_body(body: &str) -> (ErrorClass, String) {
    let codes = codes(body).unwrap_or_default();
    let codes = || codes.iter().flatten().map(String::as_str);
    let known = codes().find_map(|code| {
        let known = CODES.iter().find(|(known, _)| *known == code);
        known.map(|(code, class)| (*class, *code))
    });
    let is_name = |code: &&str| name(code) == code.len();
    let code = known
        .map(|(_, code)| code)
        .or_else(|| codes().find(is_name));
    let class = known.map_or(ErrorClass::InvalidRequest, |(class, _)| class);
    let recorded = match code {
        Some(code) => format!("a bad request with the code `{code}`"),
        None => "a bad request".to_owned(),
    };
    (class, recorded)
}

/// Returns the error's code and its type, where they are strings.
fn codes(body: &str) -> serde_json::Result<[Option<String>; 2]> {
    let body: Body<'_> = serde_json::from_str(body)?;
    let error: Error<'_> = serde_json::from_str(body.error.get())?;
    let text = |field: Option<&RawValue>| serde_json::from_str(field?.get()).ok();
    Ok([text(error.code), text(error.kind)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_no_more_memory_than_its_codes() {
        for part in ["0", r#"{"a":0}"#] {
            let parts = vec![part; 10_000].join(",");
            let body = format!(r#"{{"more":[{parts}],"error":{{"more":[{parts}],"code":"x"}}}}"#);
            let allocated = allocation_counter::measure(|| {
                let (_, recorded) = of_body(&body);
                assert_eq!(recorded, "a bad request with the code `x`");
            });
            assert!(allocated.bytes_max < 1000, "{allocated:?}");
        }
    }

    #[test]
    fn a_code_that_is_no_string_is_skipped() {
        for (body, expected) in [
            (
                r#"{"error":{"code":7,"type":"a_type"}}"#,
                "the code `a_type`",
            ),
            (
                r#"{"error":{"code":null,"type":"a_type"}}"#,
                "the code `a_type`",
            ),
            (r#"{"error":{"type":[]}}"#, "a bad request"),
            (r#"{"error":"a text"}"#, "a bad request"),
            (r#"{"detail":"a text"}"#, "a bad request"),
            ("{", "a bad request"),
        ] {
            let (class, recorded) = of_body(body);
            assert_eq!(class, ErrorClass::InvalidRequest);
            assert!(recorded.ends_with(expected), "{body}: {recorded}");
        }
    }
}
