//! The names that the real Codex keeps for its own tools.

use codex_telemetry::tool::{ToolService, ToolSpecError};
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    host_rig::{registry_of, spec},
    reply::Reply,
};

/// Returns the names of what a request offers to the model: its functions and namespaces, and the types of what has
/// no name.
fn offered(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().unwrap().iter();
    let name = |tool: &Value| {
        let name = tool["name"].as_str().or(tool["type"].as_str());
        name.unwrap().to_owned()
    };
    tools.map(name).collect()
}

fn is_refused(name: &'static str) -> bool {
    let tool =
        tower::service_fn(|_| async { Err::<_, codex_telemetry::BoxError>("unused".into()) });
    let built = ToolService::builder().tool(spec(name), tool).build();
    matches!(built, Err(ToolSpecError::BuiltIn { .. }))
}

#[tokio::test]
async fn no_tool_of_the_program_has_a_name_of_one_that_codex_offers() {
    let all_features = json!({
        "code_mode": true, "current_time_reminder": true, "deferred_executor": true,
        "executor_capability_discovery_v2": true, "multi_agent_v2": true,
        "request_permissions_tool": true, "send_message_to_user_async": true,
        "token_budget": true,
    });
    for model in ["gpt-5.5", "gpt-5"] {
        for features in [json!({}), all_features.clone()] {
            let Some(bench) = Bench::start([Reply::done()]) else {
                return;
            };
            let tool = tower::service_fn(|_| async {
                Err::<_, codex_telemetry::BoxError>("unused".into())
            });
            let registry = registry_of("own", tool);
            let server = bench.app_server(|builder| {
                let builder = builder.tools(bench.host_tools(&registry));
                features
                    .as_object()
                    .unwrap()
                    .iter()
                    .fold(builder, |builder, (name, value)| {
                        builder.config(format!("features.{name}"), value.clone())
                    })
            });
            server.complete(bench.ask("Go").with_model(model)).await;
            let mut names = offered(&bench.model.asked()[0].json());
            let own = names.iter().position(|name| name == "own");
            names.remove(own.expect("the tool is not offered"));
            assert!(names.len() > 5, "{names:?}");
            names.retain(|name| !is_refused(name.clone().leak()));
            assert!(
                names.is_empty(),
                "Codex has tools that `BUILT_IN` of src/tool/validation.rs lacks: {names:?}"
            );
            server.end().await;
        }
    }
}
