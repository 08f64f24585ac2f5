//! Who gets in.

use std::io::ErrorKind;

use codex_telemetry::{BoxError, ToolService, ToolSpec, mcp::McpServer, tool::HostTools, tool_fn};
use serde_json::{Value, json};

use crate::support::{DEADLINE, Rig, authority, call, headers, post, request, send};

fn echo() -> Value {
    call("echo", json!({"a": 1}))
}

#[tokio::test]
async fn a_request_without_a_valid_token_is_unauthorized() {
    let rig = Rig::start().await;
    let url = rig.server.url();
    let token = rig.server.issue_token().unwrap();
    let wrong = token.as_str().replace(
        |digit: char| digit == token.as_str().chars().next().unwrap(),
        "x",
    );
    for authorization in [
        String::new(),
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Authorization: Bearer {}0\r\n", token.as_str()),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Basic {}\r\n", token.as_str()),
        format!("Authorization: {}\r\n", token.as_str()),
    ] {
        let headers = headers(url) + &authorization;
        let answer = send(url, &headers, &echo().to_string()).await;
        assert_eq!(answer.status, 401, "{authorization:?}: {answer:?}");
        assert!(
            answer.head.contains("\r\nwww-authenticate: bearer\r\n"),
            "{answer:?}"
        );
        assert!(answer.body.contains("bearer token"), "{answer:?}");
    }
    assert!(rig.sink.events().is_empty());
}

#[tokio::test]
async fn a_token_is_valid_until_it_is_dropped() {
    let rig = Rig::start().await;
    let url = rig.server.url();
    let (token, other) = (
        rig.server.issue_token().unwrap(),
        rig.server.issue_token().unwrap(),
    );
    assert_ne!(token.as_str(), other.as_str());
    let text = token.as_str().to_owned();
    assert_eq!(post(url, &text, &echo()).await.status, 200);
    drop(token);
    assert_eq!(post(url, &text, &echo()).await.status, 401);
    assert_eq!(post(url, other.as_str(), &echo()).await.status, 200);
}

#[tokio::test]
async fn no_debug_output_shows_a_token() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    let shown = format!("{token:?} {:?}", rig.server);
    assert!(!shown.contains(token.as_str()), "{shown}");
    assert!(shown.contains(rig.server.url()), "{shown}");
}

#[tokio::test]
async fn the_server_listens_on_loopback_at_a_port_of_its_own() {
    let (one, two) = (Rig::start().await, Rig::start().await);
    for rig in [&one, &two] {
        let address: std::net::SocketAddr = authority(rig.server.url()).parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
    }
    assert_ne!(one.server.url(), two.server.url());
    let token = one.server.issue_token().unwrap();
    let answer = post(two.server.url(), token.as_str(), &echo()).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_request_to_another_host_or_from_a_web_page_is_forbidden() {
    let rig = Rig::start().await;
    let url = rig.server.url();
    let token = rig.server.issue_token().unwrap();
    let good = headers(url) + &format!("Authorization: Bearer {}\r\n", token.as_str());
    let host = format!("Host: {}\r\n", authority(url));
    for bad in [
        good.replace(&host, "Host: attacker.example\r\n"),
        format!("{good}Origin: https://attacker.example\r\n"),
    ] {
        let answer = send(url, &bad, &echo().to_string()).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(send(url, &good, &echo().to_string()).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    let large = "x".repeat(64 << 20);
    let body = call("echo", json!({ "a": large }));
    let answer = post(rig.server.url(), token.as_str(), &body).await;
    assert_eq!(answer.status, 413, "{}", answer.head);
    assert!(rig.sink.events().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused() {
    let rig = Rig::start().await;
    let url = rig.server.url();
    let token = rig.server.issue_token().unwrap();
    let headers = headers(url) + &format!("Authorization: Bearer {}\r\n", token.as_str());
    for body in ["", "no JSON", "[]", "{\"jsonrpc\":\"2.0\"}"] {
        let answer = send(url, &headers, body).await;
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_gets_the_enabled_tools_with_their_schemas() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    rig.registry.set_enabled("waits", false).unwrap();
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    let url = rig.server.url();
    let answer = post(url, token.as_str(), &request("initialize", params)).await;
    let result = &answer.json()["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["serverInfo"]["name"], "codex_telemetry");
    assert!(!answer.head.contains("mcp-session-id"), "{answer:?}");

    let answer = post(url, token.as_str(), &request("tools/list", json!({}))).await;
    let tools = answer.json()["result"]["tools"].clone();
    let names: Vec<_> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(
        names,
        ["double", "echo", "explains", "fails", "panics", "shows"]
    );
    let echo = &tools[1];
    assert_eq!(echo["description"], "A tool of the tests");
    assert_eq!(
        echo["inputSchema"],
        json!({"type": "object", "description": "Anything"})
    );
}

#[tokio::test]
async fn a_server_whose_name_or_tools_codex_could_not_tell_apart_is_not_started() {
    let tool = || tool_fn(|value: Value, _| async move { Ok::<_, BoxError>(value) });
    let tools = |names: &[&'static str]| {
        let mut builder = ToolService::builder().namespace("tickets", "Tickets");
        for name in names {
            builder = builder.tool(ToolSpec::new(*name, "A tool of the tests"), tool());
        }
        let registry = builder.build().unwrap();
        HostTools::new(&registry, registry.clone(), DEADLINE)
    };
    let long = "x".repeat(33);
    for name in ["", "a b", "a.b", &long] {
        let started = McpServer::builder()
            .name(name)
            .start(tools(&["echo"]))
            .await;
        assert_eq!(
            started.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name}"
        );
    }
    let server = McpServer::builder()
        .name("own-tools")
        .start(tools(&["echo"]))
        .await;
    assert_eq!(server.unwrap().name(), "own-tools");
    // The registry itself takes them: in a script, they are different.
    let names = ["tickets.find", "tickets_find"];
    let started = McpServer::start(tools(&names)).await;
    let error = started.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        names.iter().all(|name| error.to_string().contains(name)),
        "{error}"
    );
}
