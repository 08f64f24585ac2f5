use std::collections::{BTreeMap, HashMap};

use codex_telemetry::{BoxError, CallContext, ToolCall, ToolError, tool_fn};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Calls a tool whose arguments are an `A` with the given JSON.
async fn call_with<A: DeserializeOwned>(arguments: Value) -> Result<(), ToolError> {
    let tool = tool_fn(|_: A, _: CallContext| async { Ok::<_, BoxError>(()) });
    let output = tool.oneshot(ToolCall::new("typed", arguments)).await?;
    assert_eq!(output.content, Value::Null);
    Ok(())
}

/// Returns the reason why the given JSON is not an `A`.
async fn reason<A: DeserializeOwned>(arguments: Value) -> String {
    match call_with::<A>(arguments).await {
        Err(ToolError::InvalidArguments { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Order {
    items: Vec<Item>,
    #[serde(default)]
    notes: HashMap<String, u8>,
    ship: Option<Ship>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Item {
    count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum Ship {
    Air,
    Sea { days: u32 },
    Rail(u8),
}

#[derive(Debug, Deserialize)]
struct Empty {}

#[tokio::test]
async fn valid_arguments_are_deserialized() {
    let order = json!({
        "items": [{ "count": 1 }, { "count": 2, "colour": "any" }],
        "notes": { "fragile": 1 },
        "ship": { "sea": { "days": 3 } },
    });
    call_with::<Order>(order).await.unwrap();
    call_with::<Ship>(json!("air")).await.unwrap();
    call_with::<Empty>(json!({})).await.unwrap();
    call_with::<Option<u8>>(json!(null)).await.unwrap();
}

#[tokio::test]
async fn numbers_and_map_keys_are_deserialized_as_serde_json_does() {
    async fn assert_same<A: DeserializeOwned>(arguments: Value) {
        let expected = A::deserialize(&arguments).map_err(|error| error.to_string());
        match (expected, call_with::<A>(arguments.clone()).await) {
            (Ok(_), Ok(())) => {}
            (Err(text), Err(error)) => {
                assert!(error.to_string().ends_with(&text), "{error}: {text}");
            }
            (expected, actual) => panic!("{arguments}: {:?}, {actual:?}", expected.map(drop)),
        }
    }
    for number in [
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
    ] {
        assert_same::<u64>(number.clone()).await;
        assert_same::<i64>(number.clone()).await;
        assert_same::<u128>(number.clone()).await;
        assert_same::<i128>(number.clone()).await;
        assert_same::<f32>(number.clone()).await;
        assert_same::<Value>(number).await;
    }
    for key in ["7", "-7", "true", "x"] {
        let map = json!({ key: true });
        assert_same::<BTreeMap<u32, bool>>(map.clone()).await;
        assert_same::<BTreeMap<i128, bool>>(map.clone()).await;
        assert_same::<BTreeMap<bool, bool>>(map.clone()).await;
        assert_same::<BTreeMap<String, bool>>(map).await;
    }
}

#[tokio::test]
async fn the_reason_has_the_path_and_the_message_of_serde() {
    #[rustfmt::skip]
    let reasons = [
        (reason::<Order>(json!({ "items": [{ "count": 1 }, { "count": "two" }] })).await,
            r#"items[1].count: invalid type: string "two", expected u32"#),
        (reason::<Order>(json!({ "items": [{ "count": -1 }] })).await,
            "items[0].count: invalid value: integer `-1`, expected u32"),
        (reason::<Order>(json!({ "items": [{}] })).await, "items[0]: missing field `count`"),
        (reason::<Order>(json!({ "itmes": 1 })).await,
            "itmes: unknown field `itmes`, expected one of `items`, `notes`, `ship`"),
        (reason::<Order>(json!({ "items": [], "notes": { "a note": "x" } })).await,
            r#"notes.a note: invalid type: string "x", expected u8"#),
        (reason::<Order>(json!({ "items": [], "ship": { "sea": { "days": "x" } } })).await,
            r#"ship.sea.days: invalid type: string "x", expected u32"#),
        (reason::<Order>(json!("x")).await, r#"invalid type: string "x", expected struct Order"#),
    ];
    for (actual, expected) in reasons {
        assert_eq!(actual, expected);
    }
}

#[tokio::test]
async fn the_error_quotes_the_argument_for_its_author() {
    let error = call_with::<Vec<i64>>(json!(["nineteen"]))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"invalid arguments for tool `typed`: [0]: invalid type: string "nineteen", expected i64"#
    );
}
