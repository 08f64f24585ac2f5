use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use codex_telemetry::{BoxError, CallContext, ToolCall, ToolError, tool_fn};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower::ServiceExt;

async fn read<A: DeserializeOwned>(arguments: Value) -> Result<(), ToolError> {
    let tool = tool_fn(|_: A, _: CallContext| async { Ok::<_, BoxError>(()) });
    let output = tool.oneshot(ToolCall::new("reads", arguments)).await?;
    assert_eq!(output.content, Value::Null);
    Ok(())
}

async fn reason<A: DeserializeOwned>(arguments: Value) -> String {
    match read::<A>(arguments).await {
        Err(ToolError::InvalidArguments { reason, .. }) => reason,
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
#[serde(untagged)]
#[allow(dead_code)]
enum Either {
    Number(u32),
    Flag(bool),
}

#[derive(Debug, Deserialize)]
struct Nothing {}

#[tokio::test]
async fn what_fits_is_read() {
    let order = json!({
        "items": [{ "count": 1 }, { "count": 2, "colour": "any" }],
        "notes": { "fragile": 1 },
        "ship": { "sea": { "days": 3 } },
    });
    read::<Order>(order).await.unwrap();
    read::<Ship>(json!("air")).await.unwrap();
    read::<BTreeMap<u32, bool>>(json!({ "7": true }))
        .await
        .unwrap();
    read::<Nothing>(json!({})).await.unwrap();
    read::<Option<u8>>(json!(null)).await.unwrap();
}

#[tokio::test]
async fn a_reason_names_the_place_and_what_would_fit() {
    #[rustfmt::skip]
    let said = [
        (reason::<Order>(json!({ "items": [{ "count": 1 }, { "count": "s3cret" }] })).await,
            "`items[1].count`: invalid type: string, expected u32"),
        (reason::<Order>(json!({ "items": [{ "count": -1 }] })).await,
            "`items[0].count`: invalid value: integer, expected u32"),
        (reason::<Order>(json!({ "items": [{}] })).await, "`items[0]`: missing field `count`"),
        (reason::<Order>(json!({ "s3cret": 1 })).await,
            "unknown field, expected `items` or `notes` or `ship`"),
        (reason::<Order>(json!({ "items": [], "ship": "s3cret" })).await,
            "`ship`: unknown variant, expected `air` or `sea` or `rail`"),
        (reason::<Order>(json!({ "items": [], "ship": { "sea": { "days": "s3cret" } } })).await,
            "`ship.sea.*`: invalid type: string, expected u32"),
        (reason::<Order>(json!({ "items": [], "ship": { "rail": "s3cret" } })).await,
            "`ship.rail`: invalid type: string, expected u8"),
        (reason::<Order>(json!({ "items": [], "ship": ["s3cret"] })).await,
            "`ship`: invalid type: sequence, expected `air` or `sea` or `rail`"),
        (reason::<Order>(json!("s3cret")).await, "invalid type: string, expected struct Order"),
        (reason::<(u8, u8)>(json!([1, 2, 3])).await, "invalid length 3, expected fewer elements"),
        (reason::<(u8, u8)>(json!([1])).await, "invalid length 1, expected a tuple of size 2"),
        (reason::<()>(json!({})).await, "invalid type: map, expected unit"),
        (reason::<u8>(json!(1.5)).await, "invalid type: floating point number, expected u8"),
        (reason::<char>(json!(null)).await, "invalid type: null, expected a character"),
        (reason::<BTreeMap<u32, bool>>(json!({ "7": "s3cret" })).await,
            "`*`: invalid type: string, expected a boolean"),
        (reason::<BTreeMap<u32, bool>>(json!({ "s3cret": true })).await,
            "invalid type: string, expected u32"),
    ];
    for (said, wanted) in said {
        assert_eq!(said, wanted);
    }
}

#[tokio::test]
async fn a_key_that_the_type_does_not_declare_is_not_shown() {
    let order = json!({ "items": [], "notes": { "s3cret": "x" } });
    assert_eq!(
        reason::<Order>(order).await,
        "`notes.*`: invalid type: string, expected u8"
    );
}

#[tokio::test]
async fn the_words_of_a_types_own_reading_are_passed_on() {
    assert_eq!(
        reason::<Either>(json!("s3cret")).await,
        "data did not match any variant of untagged enum Either"
    );
    let address: String = reason::<IpAddr>(json!("s3cret")).await;
    assert_eq!(address, "invalid IP address syntax");
}

#[tokio::test]
async fn the_words_of_a_types_own_reading_are_withheld_when_they_repeat_an_argument() {
    #[derive(Debug)]
    struct Chatty;
    impl<'de> Deserialize<'de> for Chatty {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("no such thing: {text:?}")))
        }
    }
    for secret in ["s3cret", "s3\"cr\net"] {
        let reason = reason::<Vec<Chatty>>(json!([secret])).await;
        assert_eq!(
            reason,
            "`[0]`: refused, for a reason that is withheld because it repeats an argument"
        );
    }
}
