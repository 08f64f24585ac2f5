//! Schemas from the types of arguments.

use std::collections::BTreeMap;

use codex_telemetry::{
    CallContext, ToolError, ToolService, ToolSpec, tool::ToolSpecError, tool_fn,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::echo;

/// A search of the tests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "its schema is read, and not its values")]
struct Search {
    /// What to look for.
    query: String,
    /// How many at most.
    limit: Option<u32>,
    #[serde(default)]
    order: Order,
    filter: Filter,
    #[serde(rename = "tagNames")]
    tags: Vec<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "as above")]
enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "as above")]
struct Filter {
    /// The name of its owner.
    owner: Option<String>,
    labels: BTreeMap<String, bool>,
}

/// A tree, which contains itself.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "as above")]
struct Tree {
    value: i64,
    children: Vec<Tree>,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "as above")]
struct Forest {
    /// The oldest tree.
    oldest: Tree,
    others: Vec<Tree>,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Returns the schema of a type, in a registry that takes it.
#[track_caller]
fn schema<A: JsonSchema>() -> Value {
    let spec = ToolSpec::of::<A>("t", "A tool of the tests");
    let tools = ToolService::builder().tool(spec, echo()).build().unwrap();
    tools.spec("t").unwrap().input_schema().clone()
}

#[test]
fn the_schema_has_the_fields_with_their_comments_and_what_is_required() {
    let schema = schema::<Search>();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    let fields = &schema["properties"];
    assert_eq!(fields["query"]["type"], "string");
    assert_eq!(fields["query"]["description"], "What to look for.");
    assert_eq!(fields["limit"]["description"], "How many at most.");
    assert_eq!(fields["limit"]["type"], json!(["integer", "null"]));
    assert_eq!(
        fields["tagNames"],
        json!({"type": "array", "items": {"type": "string"}})
    );
    let mut required: Vec<_> = schema["required"].as_array().unwrap().iter().collect();
    required.sort_by_key(|name| name.as_str());
    assert_eq!(required, ["filter", "query", "tagNames"]);
}

#[test]
fn types_of_fields_are_written_where_they_are_used_and_the_program_is_not_named() {
    let schema = schema::<Search>();
    let order = &schema["properties"]["order"];
    assert_eq!(order["enum"], json!(["newest_first", "oldest_first"]));
    let filter = &schema["properties"]["filter"];
    assert_eq!(
        filter["properties"]["owner"]["description"],
        "The name of its owner."
    );
    assert_eq!(
        filter["properties"]["labels"]["additionalProperties"]["type"],
        "boolean"
    );
    let text = schema.to_string();
    for internal in [
        "$ref", "$defs", "$schema", "title", "Search", "Filter", "Order",
    ] {
        assert!(!text.contains(internal), "{internal}: {text}");
    }
}

#[test]
fn a_type_that_contains_itself_has_references_that_lead_somewhere() {
    for schema in [schema::<Tree>(), schema::<Forest>()] {
        let mut references = Vec::new();
        collect_references(&schema, &mut references);
        assert!(!references.is_empty(), "{schema}");
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{reference}: {schema}");
        }
    }
}

fn collect_references(schema: &Value, references: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "$ref" => references.push(text.clone()),
                    value => collect_references(value, references),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_references(value, references);
            }
        }
        _ => {}
    }
}

#[test]
fn a_struct_without_fields_and_a_map_are_objects() {
    assert_eq!(schema::<Nothing>()["type"], "object");
    assert_eq!(schema::<BTreeMap<String, u8>>()["type"], "object");
}

#[test]
fn a_type_that_is_no_object_is_refused_by_the_registry() {
    #[track_caller]
    fn check<A: JsonSchema>() {
        let spec = ToolSpec::of::<A>("t", "A tool of the tests");
        let fault = ToolService::builder().tool(spec, echo()).build();
        assert!(
            matches!(fault, Err(ToolSpecError::InvalidSchema { .. })),
            "{fault:?}"
        );
    }
    check::<u32>();
    check::<String>();
    check::<Vec<Search>>();
    check::<Order>();
    check::<Option<Search>>();
    check::<()>();
    check::<Value>();
}

#[test]
fn the_specification_of_a_function_has_the_schema_of_its_arguments() {
    let tool =
        tool_fn(|search: Search, _: CallContext| async move { Ok::<_, ToolError>(search.query) });
    let spec = tool.spec("search", "Searches");
    assert_eq!(spec, ToolSpec::of::<Search>("search", "Searches"));
    assert_eq!((spec.name(), spec.description()), ("search", "Searches"));
}
