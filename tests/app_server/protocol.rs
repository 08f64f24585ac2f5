//! Servers that write what the protocol does not have.

use std::time::Duration;

use codex_telemetry::turn::TurnError;

use crate::support::Rig;

#[tokio::test]
async fn lines_that_are_no_messages_are_ignored() {
    let script = r#"turn() {
        echo 'not JSON'
        echo '[1,2]'
        echo null
        echo
        echo '{"method":'
        echo '{"method":7,"params":[]}'
        echo '{"id":"x","result":{}}'
        echo '{"id":99999999999999999999999,"result":{}}'
        echo '{"id":-1,"error":{}}'
        echo '{"id":1.5,"result":{}}'
        printf '\377\376\000\n'
        printf '{"method":"turn/comp'
        sleep 0.05
        printf 'leted"}\n'
        say 'all done'
        end completed
        printf '{"method":"half a line'
    }
    serve"#;
    let rig = Rig::new(script);
    let turn = rig.turn().await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
    assert_eq!(turn.unknown_events, 0);
}

#[tokio::test]
async fn unknown_methods_of_the_turn_are_counted() {
    let script = r#"turn() { tell hologram/shown '"x":1'; tell warp/engaged '"x":2'; end completed; }; serve"#;
    let turn = Rig::new(script).turn().await.unwrap();
    assert_eq!(turn.unknown_events, 2);
}

#[tokio::test]
async fn a_turn_whose_start_is_not_answered_is_interrupted_and_given_up() {
    let script = "start_turn() { if mkdir $FAKE_DIRECTORY/once; then return; fi
        turns=$((turns + 1)); turn=turn-$$-$turns; answer '{\"turn\":{\"id\":\"'$turn'\"}}'; begin; turn; }
    interrupt() { answer '{}'; }
    serve";
    let rig = Rig::with(script, |builder| {
        builder
            .request_timeout(Duration::from_secs(5))
            .interrupt_timeout(Duration::from_millis(300))
    });
    let error = rig.turn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Codex did not answer `turn/start` within 5s: raise the request timeout, or run fewer turns at once"
    );
    rig.until_logged("turn/interrupt", 1).await;
    // Killed, since it may run the turn.
    rig.until_gone().await;
    rig.turn().await.unwrap();
    assert_eq!(rig.servers().len(), 2);
}

#[tokio::test]
async fn a_second_answer_is_ignored() {
    let script = "start_turn() {
        turn=turn-1
        answer '{\"turn\":{\"id\":\"turn-1\"}}'
        answer '{\"turn\":{\"id\":\"turn-2\"}}'
        refuse -32600 'no such thread'
        begin
        turn
    }
    serve";
    let turn = Rig::new(script).turn().await.unwrap();
    assert_eq!(turn.turn_id.as_deref(), Some("turn-1"));
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
}

#[tokio::test]
async fn a_turn_that_ends_before_its_start_is_answered_has_its_result() {
    let script = "start_turn() { turn=turn-1; begin; turn; answer '{\"turn\":{\"id\":\"turn-1\"}}'; }; serve";
    let turn = Rig::new(script).turn().await.unwrap();
    assert_eq!(turn.turn_id.as_deref(), Some("turn-1"));
    assert_eq!(turn.final_message.as_deref(), Some("all done"));
}

#[tokio::test]
async fn a_turn_without_an_id_in_the_answer_gets_it_from_its_start() {
    let script = "start_turn() { turn=turn-1; answer '{}'; begin; turn; }; serve";
    let turn = Rig::new(script).turn().await.unwrap();
    assert_eq!(turn.turn_id.as_deref(), Some("turn-1"));
}

#[tokio::test]
async fn a_turn_that_is_refused_fails_and_its_thread_and_server_go_on() {
    let script = "start_turn() {
        if mkdir $FAKE_DIRECTORY/once; then refuse -32001 'Server overloaded; retry later.'; return; fi
        turn=turn-1; answer '{\"turn\":{\"id\":\"turn-1\"}}'; begin; turn
    }
    serve";
    let rig = Rig::new(script);
    let error = rig.turn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Codex rejected `turn/start` (code -32001): Server overloaded; retry later; run fewer turns at once"
    );
    rig.turn().await.unwrap();
    assert_eq!(rig.servers().len(), 1);
    assert_eq!(rig.count("turn/interrupt"), 0);
}

#[tokio::test]
async fn an_error_of_another_form_is_an_error() {
    for error in ["\"no\"", "7", "[]", "{}", "{\"code\":\"x\",\"message\":1}"] {
        let script = format!(
            "start_turn() {{ printf '{{\"id\":%s,\"error\":%s}}\\n' \"$id\" '{error}'; }}; serve"
        );
        let result = Rig::new(&script).turn().await.unwrap_err();
        assert!(
            matches!(
                result,
                TurnError::Rejected {
                    method: "turn/start",
                    ..
                }
            ),
            "{error}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_thread_without_an_id_is_an_error() {
    for answer in [
        "{}",
        "null",
        "[]",
        "{\"thread\":{}}",
        "{\"thread\":{\"id\":7}}",
    ] {
        let script = format!("start_thread() {{ answer '{answer}'; }}; serve");
        let error = Rig::new(&script).turn().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Codex rejected `thread/start` (code 0): the answer has no id of a thread",
            "{answer}"
        );
    }
}

#[tokio::test]
async fn any_text_may_be_the_id_of_a_thread_and_of_a_turn() {
    // Written by `%s`, which leaves the escapes of JSON as they are.
    let huge = "$(head -c 100000 /dev/zero | tr '\\0' i)";
    let ids = [
        "",
        " ",
        "0",
        r#"a\"b\\c\nd"#,
        r"\u0000\ud83d\ude00",
        "../../etc",
    ];
    let ids = ids.map(|id| (format!("'{id}'"), id.to_owned()));
    for (expression, id) in ids
        .into_iter()
        .chain([(huge.to_owned(), "i".repeat(100_000))])
    {
        let script = format!(
            r#"name={expression}
            start_thread() {{ printf '{{"id":%s,"result":{{"thread":{{"id":"%s"}}}}}}\n' "$id" "$name"; }}
            start_turn() {{
                thread=$name turn=$name
                printf '{{"id":%s,"result":{{"turn":{{"id":"%s"}}}}}}\n' "$id" "$name"
                begin
                tell item/completed '"item":{{"type":"agentMessage","id":"i","text":"all done"}}'
                tell turn/completed '"turn":{{"status":"completed"}}'
            }}
            serve"#
        );
        let turn = Rig::new(&script).turn().await.unwrap();
        let expected: String = serde_json::from_str(&format!("\"{id}\"")).unwrap();
        assert_eq!(turn.thread_id.as_ref(), Some(&expected));
        assert_eq!(turn.turn_id.as_ref(), Some(&expected));
        assert_eq!(turn.final_message.as_deref(), Some("all done"));
    }
}

#[tokio::test]
async fn a_request_that_nobody_knows_is_refused_at_once() {
    let script = r#"turn() {
        echo '{"id":"a b","method":"weather/ask","params":{}}'
        read_line
        case $line in
        *'"code":-32601'*'"id":"a b"'*) say refused ;;
        *) say other ;;
        esac
        end completed
    }
    serve"#;
    let turn = Rig::new(script).turn().await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("refused"));
}

#[tokio::test]
async fn without_an_approver_nothing_is_approved() {
    let questions = [
        (
            "item/commandExecution/requestApproval",
            r#""decision":"decline""#,
        ),
        ("item/fileChange/requestApproval", r#""decision":"decline""#),
        ("item/permissions/requestApproval", r#""permissions":{}"#),
    ];
    for (method, refusal) in questions {
        let script = format!(
            r#"turn() {{
            printf '{{"id":0,"method":"{method}","params":{{"threadId":"%s","turnId":"%s","itemId":"i","command":"x"}}}}\n' "$thread" "$turn"
            read_line
            case $line in
            *'{refusal}'*) say refused ;;
            *) say other ;;
            esac
            end completed
        }}
        serve"#
        );
        let turn = Rig::new(&script).turn().await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("refused"), "{method}");
    }
}

#[tokio::test]
async fn a_thread_that_is_unloaded_in_a_turn_ends_the_turn_and_is_loaded_again_by_the_next() {
    let script = "turn() {
        if mkdir $FAKE_DIRECTORY/once; then tell thread/closed '\"x\":1'; return; fi
        say 'all done'; end completed
    }
    serve";
    let rig = Rig::new(script);
    std::fs::create_dir(rig.directory().join("once")).unwrap();
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    std::fs::remove_dir(rig.directory().join("once")).unwrap();
    let error = rig.turn_of(&thread).await.unwrap_err();
    assert!(matches!(error, TurnError::Interrupted), "{error:?}");
    rig.turn_of(&thread).await.unwrap();
    assert_eq!(rig.count("thread/resume"), 1);
}

#[tokio::test]
async fn a_thread_that_the_server_does_not_have_any_more_is_loaded_again_by_the_next_turn() {
    let script = "start_turn() {
        if [ -e $FAKE_DIRECTORY/lost ]; then refuse -32600 \"thread not found: $thread\"; return; fi
        turn=turn-1; answer '{\"turn\":{\"id\":\"turn-1\"}}'; begin; turn
    }
    load_thread() { rm -f $FAKE_DIRECTORY/lost; answer '{\"thread\":{\"id\":\"'$thread'\"}}'; }
    serve";
    let rig = Rig::new(script);
    let thread = rig.turn().await.unwrap().thread_id.unwrap();
    std::fs::write(rig.directory().join("lost"), "").unwrap();
    rig.turn_of(&thread).await.unwrap_err();
    rig.turn_of(&thread).await.unwrap();
}
