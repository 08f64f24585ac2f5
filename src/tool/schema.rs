//! Whether the schema of a tool's arguments is one.
//!
//! A validator of JSON Schema knows every draft and every keyword, and brings fifty crates. Codex passes on few
//! keywords, and they have been the same in every draft. These are checked, and those that authors write beside them.

use serde_json::Value;

const TYPES: &[&str] = &[
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Checks the schema of arguments. The error says what is wrong, and where.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("its `type` has to be `object`, since a model names the arguments".to_owned());
    }
    check_part(schema, schema, "")
}

/// Checks a schema inside of `root`.
fn check_part(schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    let keywords = match schema {
        Value::Object(keywords) => keywords,
        Value::Bool(_) => return Ok(()),
        _ => return Err(wrong("a schema has to be an object or a boolean", at)),
    };
    for (keyword, value) in keywords {
        let at = format!("{at}/{}", keyword.replace('~', "~0").replace('/', "~1"));
        match &**keyword {
            "type" => check_type(value, &at)?,
            "$ref" => check_reference(value, root, &at)?,
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                let Some(schemas) = value.as_object() else {
                    return Err(wrong("it has to be an object with schemas", &at));
                };
                for (name, schema) in schemas {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    check_part(schema, root, &format!("{at}/{name}"))?;
                }
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => check_list(value, root, &at)?,
            // Once also a list.
            "items" if value.is_array() => check_list(value, root, &at)?,
            "items"
            | "additionalProperties"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames" => check_part(value, root, &at)?,
            "required" => match value.as_array() {
                Some(names) if names.iter().all(Value::is_string) => {}
                _ => return Err(wrong("it has to be a list of names", &at)),
            },
            "enum" if value.as_array().is_none_or(Vec::is_empty) => {
                return Err(wrong("it has to be a list of values", &at));
            }
            "description" | "title" | "format" | "pattern" | "$schema" if !value.is_string() => {
                return Err(wrong("it has to be a text", &at));
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf"
                if !value.is_number() =>
            {
                return Err(wrong("it has to be a number", &at));
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties"
                if !value.is_u64() =>
            {
                return Err(wrong("it has to be a whole number", &at));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_type(value: &Value, at: &str) -> Result<(), String> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(types) if !types.is_empty() && types.iter().all(is_type) => Ok(()),
        value if is_type(value) => Ok(()),
        _ => Err(wrong(
            &format!(
                "it has to be one of {}, or a list of them",
                TYPES.join(", ")
            ),
            at,
        )),
    }
}

/// Checks that a reference leads to a part of the same schema: nobody would fetch another one.
fn check_reference(value: &Value, root: &Value, at: &str) -> Result<(), String> {
    let pointer = value.as_str().and_then(|text| text.strip_prefix('#'));
    match pointer {
        Some(pointer) if root.pointer(pointer).is_some() => Ok(()),
        _ => Err(wrong(
            "it has to lead to a part of the schema, such as #/$defs/name",
            at,
        )),
    }
}

fn check_list(value: &Value, root: &Value, at: &str) -> Result<(), String> {
    let schemas = value.as_array().filter(|schemas| !schemas.is_empty());
    let Some(schemas) = schemas else {
        return Err(wrong("it has to be a list of schemas", at));
    };
    for (place, schema) in schemas.iter().enumerate() {
        check_part(schema, root, &format!("{at}/{place}"))?;
    }
    Ok(())
}

fn wrong(reason: &str, at: &str) -> String {
    format!("{reason} (at {at})")
}
