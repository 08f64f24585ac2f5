//! JSON values as TOML, for `--config`.

use serde_json::Value;

/// Appends a value. A `null`, which TOML does not have, is left out of lists and tables.
pub(in crate::turn) fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::String(string) => write_string(text, string),
        Value::Array(list) => {
            text.push('[');
            for element in list.iter().filter(|element| !element.is_null()) {
                write(text, element);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(table) => {
            text.push('{');
            let fields = table.iter().filter(|(_, value)| !value.is_null());
            for (place, (key, value)) in fields.enumerate() {
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
