//! What a registry does not take, and why.

use codex_telemetry::{
    ToolService, ToolSpec,
    tool::{ToolServiceBuilder, ToolSpecError},
};
use serde_json::{Value, json};

use crate::support::{echo, spec};

/// Returns what is wrong with a registry.
#[track_caller]
fn fault(builder: ToolServiceBuilder) -> ToolSpecError {
    builder.build().expect_err("it is wrong")
}

fn with(names: &[&str]) -> ToolServiceBuilder {
    let builder = ToolService::builder().namespace("crm", "Customers");
    names
        .iter()
        .fold(builder, |builder, name| builder.tool(spec(*name), echo()))
}

/// Returns a registry with a tool that has this schema.
fn of_schema(schema: Value) -> Result<ToolService, ToolSpecError> {
    let spec = spec("t").with_input_schema(schema);
    ToolService::builder().tool(spec, echo()).build()
}

/// Returns what is wrong with a schema.
#[track_caller]
fn reason(schema: Value) -> String {
    match of_schema(schema) {
        Err(ToolSpecError::InvalidSchema { tool, reason }) => {
            assert_eq!(&*tool, "t");
            reason
        }
        other => panic!("{other:?}"),
    }
}

// --- Names

#[test]
fn a_name_has_1_to_64_letters_digits_underscores_and_hyphens() {
    let longest = "x".repeat(64);
    let good = ["a", "A", "0", "_", "-", "get-Ticket_2", &longest];
    for name in good {
        let tools = with(&[name, &format!("crm.{name}")]).build().unwrap();
        assert_eq!(tools.spec(name).unwrap().name(), name);
        let namespace = ToolService::builder().namespace(name, "Tools");
        assert!(namespace.build().is_ok(), "{name}");
    }
    let long = "x".repeat(65);
    for name in [
        "", "a b", "é", "ａ", "a/b", "a\n", "a\0", "a:b", " a", "a ", &long,
    ] {
        let invalid = |of, name: &str| ToolSpecError::InvalidName {
            of,
            name: name.into(),
        };
        assert_eq!(fault(with(&[name])), invalid("tool", name));
        let inside = format!("crm.{name}");
        assert_eq!(fault(with(&[&inside])), invalid("tool", &inside));
        let namespace = ToolService::builder().namespace(name, "Tools");
        assert_eq!(fault(namespace), invalid("namespace", name));
    }
}

#[test]
fn an_invalid_name_is_quoted_with_what_names_have() {
    assert_eq!(
        fault(with(&["two\nlines"])).to_string(),
        "the name \"two\\nlines\" of a tool is invalid: use 1 to 64 of the characters a-z, A-Z, 0-9, _ and -"
    );
}

#[test]
fn one_dot_separates_a_registered_namespace_from_the_name() {
    let tools = with(&["crm.look", "look"]).build().unwrap();
    assert_eq!(tools.names().len(), 2);
    let invalid = |name: &str| ToolSpecError::InvalidName {
        of: "tool",
        name: name.into(),
    };
    let unknown = |tool: &str| ToolSpecError::UnknownNamespace { tool: tool.into() };
    for name in ["crm.", "crm..look", "crm.a.b", "crm.look."] {
        assert_eq!(fault(with(&[name])), invalid(name));
    }
    for name in ["erp.look", ".look", ".", "CRM.look", "crm .look"] {
        assert_eq!(fault(with(&[name])), unknown(name));
    }
    assert_eq!(
        fault(with(&["erp.look"])).to_string(),
        "the tool `erp.look` is in a namespace that the registry does not have: add it with `namespace`"
    );
    let dotted = ToolService::builder().namespace("crm.old", "Customers");
    assert!(matches!(
        fault(dotted),
        ToolSpecError::InvalidName {
            of: "namespace",
            ..
        }
    ));
}

/// The names that Codex has been seen to use, or that its server refuses.
#[test]
fn the_names_of_codex_are_those_of_no_tool_and_no_namespace() {
    for name in [
        "apply_patch",
        "exec_command",
        "functions",
        "get_goal",
        "image_gen",
        "mcp",
        "multi_agent_v1",
        "request_user_input",
        "shell",
        "spawn_agent",
        "tool_search",
        "update_plan",
        "view_image",
        "wait",
        "web",
        "web_search",
        "write_stdin",
        "mcp__",
        "mcp__crm",
        "mcp__crm__look",
    ] {
        let built_in = ToolSpecError::BuiltIn { name: name.into() };
        assert_eq!(fault(with(&[name])), built_in);
        let namespace = ToolService::builder().namespace(name, "Tools");
        assert_eq!(fault(namespace), built_in);
        // Codex tells them apart by the namespace.
        assert!(with(&[&format!("crm.{name}")]).build().is_ok(), "{name}");
    }
    let text = fault(with(&["shell"])).to_string();
    assert_eq!(
        text,
        "the name `shell` belongs to Codex: choose another one"
    );
    for name in ["mcp_", "mcpx", "Shell", "shells", "my_apply_patch"] {
        assert!(with(&[name]).build().is_ok(), "{name}");
    }
}

#[test]
fn a_name_is_registered_once() {
    let twice = |name: &str| ToolSpecError::Duplicate { name: name.into() };
    assert_eq!(fault(with(&["a", "b", "a"])), twice("a"));
    assert_eq!(fault(with(&["crm.a", "crm.a"])), twice("crm.a"));
    assert_eq!(fault(with(&["crm"])), twice("crm"));
    let namespaces = with(&[]).namespace("crm", "Others");
    assert_eq!(fault(namespaces), twice("crm"));
    assert_eq!(
        twice("a").to_string(),
        "the name `a` is registered twice: give one of the two another name"
    );
    // Elsewhere it is another one.
    let both = with(&["a", "crm.a", "erp.a"]).namespace("erp", "Orders");
    assert!(both.build().is_ok());
}

/// Many models write scripts, in which `.` is `__` and `-` is `_`.
#[test]
fn names_that_are_the_same_in_a_script_are_refused() {
    for (name, other) in [
        ("a_b", "a-b"),
        ("crm__look", "crm.look"),
        ("crm-_look", "crm.look"),
        ("crm.a-b", "crm.a_b"),
        ("1x", "2x"),
    ] {
        let fault = fault(with(&[name, other]));
        let ToolSpecError::Ambiguous {
            name: one,
            other: two,
        } = &fault
        else {
            panic!("{fault:?}")
        };
        let mut told = [&**one, &**two];
        told.sort_unstable();
        let mut names = [name, other];
        names.sort_unstable();
        assert_eq!(told, names);
    }
    assert_eq!(
        fault(with(&["a_b", "a-b"])).to_string(),
        "the names `a_b` and `a-b` are the same in a script: give one of the two another name"
    );
    for name in ["exec-command", "web-search", "mcp-_x"] {
        let built_in = ToolSpecError::BuiltIn { name: name.into() };
        assert_eq!(fault(with(&[name])), built_in);
    }
    assert!(with(&["a_b", "ab", "crm.look", "crm_look"]).build().is_ok());
}

#[test]
fn a_registry_knows_the_descriptions_of_its_namespaces() {
    let tools = with(&["crm.look"]).build().unwrap();
    assert_eq!(tools.namespace("crm"), Some("Customers"));
    assert_eq!(tools.namespace("erp"), None);
}

// --- Descriptions

#[test]
fn a_tool_and_a_namespace_have_a_description() {
    for description in ["", " ", "\n\t"] {
        let missing = |name: &str| ToolSpecError::NoDescription { name: name.into() };
        let tool = ToolService::builder().tool(ToolSpec::new("t", description), echo());
        assert_eq!(fault(tool), missing("t"));
        let namespace = ToolService::builder().namespace("n", description);
        assert_eq!(fault(namespace), missing("n"));
    }
    let text = ToolSpecError::NoDescription { name: "t".into() }.to_string();
    assert_eq!(text, "`t` has no description: say what it does");
}

// --- Schemas

#[test]
fn a_schema_is_one_of_an_object() {
    for schema in [
        json!(null),
        json!(true),
        json!("object"),
        json!(7),
        json!([]),
        json!([{"type": "object"}]),
        json!({}),
        json!({"properties": {}}),
        json!({"type": "array"}),
        json!({"type": "string"}),
        json!({"type": ["object"]}),
        json!({"type": ["object", "null"]}),
        json!({"anyOf": [{"type": "object"}]}),
        json!({"type": "banana"}),
        json!({"type": null}),
    ] {
        assert_eq!(
            reason(schema),
            "its `type` has to be `object`, since a model names the arguments"
        );
    }
}

#[test]
fn a_schema_that_is_none_is_refused_with_the_place_of_the_fault() {
    for (schema, place) in [
        (json!({"type": "object", "required": "x"}), "/required"),
        (json!({"type": "object", "required": [1]}), "/required"),
        (json!({"type": "object", "properties": []}), "/properties"),
        (
            json!({"type": "object", "properties": {"a": null}}),
            "/properties/a",
        ),
        (
            json!({"type": "object", "properties": {"a/b~c": 1}}),
            "/properties/a~1b~0c",
        ),
        (json!({"type": "object", "anyOf": []}), "/anyOf"),
        (
            json!({"type": "object", "properties": {"a": {"type": []}}}),
            "/properties/a/type",
        ),
        (json!({"type": "object", "description": 1}), "/description"),
        (json!({"type": "object", "$schema": null}), "/$schema"),
        (
            json!({"type": "object", "maxProperties": -1}),
            "/maxProperties",
        ),
        (
            json!({"type": "object", "patternProperties": {"^a": {"items": [true, 1]}}}),
            "/patternProperties/^a/items/1",
        ),
        (
            json!({"type": "object", "additionalProperties": "no"}),
            "/additionalProperties",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "banana"}}}),
            "/properties/a/type",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"minimum": "1"}}}}),
            "/properties/a/items/minimum",
        ),
        (
            json!({"type": "object", "$defs": {"d": {"enum": 1}}}),
            "/$defs/d/enum",
        ),
        (
            json!({"type": "object", "anyOf": [{"type": "object"}, {"required": {}}]}),
            "/anyOf/1/required",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": 7}),
            "/required",
        ),
    ] {
        let reason = reason(schema);
        assert!(reason.ends_with(&format!("(at {place})")), "{reason}");
    }
    let text = of_schema(json!({"type": "object", "required": "x"})).unwrap_err();
    assert_eq!(
        text.to_string(),
        "the input schema of the tool `t` is invalid: it has to be a list of names (at /required)"
    );
}

/// Nothing is fetched for it.
#[test]
fn a_reference_leads_to_a_part_of_the_schema() {
    for reference in [
        json!("#/$defs/missing"),
        json!("https://example.com/schema"),
        json!("file:///etc/passwd"),
        json!("other.json#/a"),
        json!(""),
        json!(null),
    ] {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"$ref": reference}},
            "$defs": {"there": {"type": "string"}},
        });
        assert_eq!(
            reason(schema),
            "it has to lead to a part of the schema, such as #/$defs/name (at /properties/a/$ref)"
        );
    }
}

#[test]
fn good_schemas_are_taken_as_they_are() {
    for schema in [
        json!({"type": "object"}),
        json!({"type": "object", "properties": {"a": true, "b": {}}}),
        json!({
            "type": "object",
            "properties": {"node": {"$ref": "#/$defs/node"}},
            "required": ["node"],
            "additionalProperties": false,
            "$defs": {"node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            }},
        }),
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "definitions": {"d": {"type": "integer"}},
            "properties": {"d": {"$ref": "#/definitions/d"}, "whole": {"$ref": "#"}},
        }),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}),
        json!({"type": "object", "properties": {"a": {"x-of-us": 1, "description": "é"}}}),
    ] {
        let tools = of_schema(schema.clone()).unwrap();
        assert_eq!(*tools.spec("t").unwrap().input_schema(), schema);
    }
}

#[test]
fn a_tool_without_a_schema_takes_any_object() {
    let tools = with(&["a"]).build().unwrap();
    let spec = tools.spec("a").unwrap();
    assert_eq!(
        *spec.input_schema(),
        json!({"type": "object", "properties": {}})
    );
    assert_eq!(spec.description(), "A tool of the tests");
    assert!(tools.spec("b").is_none());
}

// --- Which fault

#[test]
fn a_name_that_is_there_twice_is_told_before_other_faults() {
    let builder = with(&["a b", "x", "x"]).tool(spec("y").with_input_schema(json!(1)), echo());
    assert_eq!(
        fault(builder),
        ToolSpecError::Duplicate { name: "x".into() }
    );
}

#[test]
fn a_builder_knows_its_names_before_they_are_checked() {
    let builder = with(&["a b"]);
    assert!(builder.contains("a b"));
    assert!(!builder.contains("crm"));
}

#[test]
fn the_debug_output_of_a_specification_leaves_the_schema_out() {
    let spec = spec("t").with_input_schema(json!({"type": "object", "title": "hunter2"}));
    assert_eq!(
        format!("{spec:?}"),
        "ToolSpec { name: \"t\", description: \"A tool of the tests\", .. }"
    );
}
