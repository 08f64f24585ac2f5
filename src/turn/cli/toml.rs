//! JSON values as TOML, for `--config`.

use serde_json::Value;

/// Appends a value, which has to be one that TOML has: no `null`, and no integer above `i64::MAX`.
pub(in crate::turn) fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::String(string) => write_string(text, string),
        Value::Array(list) => {
            text.push('[');
            for element in list {
                write(text, element);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(table) => {
            text.push('{');
            for (place, (key, value)) in table.iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                write_string(text, key);
                text.push('=');
                write(text, value);
            }
            text.push('}');
        }
    }
}

/// Appends a basic string. Its escapes are those of JSON, but TOML also wants DEL escaped.
fn write_string(text: &mut String, string: &str) {
    let json = Value::from(string).to_string();
    text.push_str(&json.replace('\u{7f}', "\\u007f"));
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    /// Reads a value as Codex does.
    fn read(text: &str) -> Result<::toml::Value, ::toml::de::Error> {
        let table: ::toml::Table = ::toml::from_str(&format!("_x_ = {text}"))?;
        Ok(table["_x_"].clone())
    }

    fn written(value: &Value) -> String {
        let mut text = String::new();
        write(&mut text, value);
        text
    }

    /// Compares, and not by way of JSON, where `1` and `1.0` may be the same.
    fn is_same(toml: &::toml::Value, json: &Value) -> bool {
        match (toml, json) {
            (::toml::Value::String(a), Value::String(b)) => a == b,
            (::toml::Value::Integer(a), Value::Number(b)) => b.as_i64() == Some(*a),
            (::toml::Value::Float(a), Value::Number(b)) => b.is_f64() && b.as_f64() == Some(*a),
            (::toml::Value::Boolean(a), Value::Bool(b)) => a == b,
            (::toml::Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
            }
            (::toml::Value::Table(a), Value::Object(b)) => {
                let same = |(key, a): (&String, _)| b.get(key).is_some_and(|b| is_same(a, b));
                a.len() == b.len() && a.iter().all(same)
            }
            _ => false,
        }
    }

    fn assert_same(value: &Value) {
        let text = written(value);
        let toml = read(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(is_same(&toml, value), "{text:?}: {toml:?}");
    }

    #[test]
    fn a_value_is_the_same_for_codex() {
        for value in [
            json!(true),
            json!(0),
            json!(-0.0),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(1e300),
            json!(-1e300),
            json!(5e-324),
            json!(1e16),
            json!(0.1),
            json!(""),
            json!("\"\"\" ''' \\ \\u0041 # = {a}"),
            json!("\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{feff}"),
            json!("ä 字 🦀 \u{10ffff}"),
            json!([]),
            json!({}),
            json!([[], {}, "a", 1, 1.5, false]),
            json!({"": 1, "a.b": 2, "a b": 3, "\"'\\\n\u{7f}": 4, "ä": {"=": [{"#": "x"}]}}),
        ] {
            assert_same(&value);
        }
    }

    #[test]
    fn a_value_of_the_greatest_depth_is_one_for_codex() {
        let lists = (0..64).fold(json!(1), |value, _| json!([value]));
        let tables = (0..64).fold(json!(1), |value, _| json!({"a": value}));
        assert_same(&lists);
        assert_same(&tables);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |number| Some(Value::Number(
                serde_json::Number::from_f64(number)?
            ))),
            any::<String>().prop_map(Value::from),
            "[\"'\\\\\\x00-\\x20\\x7f={}\\[\\]#,a]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let key = prop_oneof![any::<String>(), "[\"'\\\\.= \\x00-\\x1f\\x7fa]{0,4}"];
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                vec((key, inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_the_same_for_codex(value in value()) {
            assert_same(&value);
        }
    }
}
