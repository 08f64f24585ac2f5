//! The layers around a Codex client of another crate, with its own requests, futures and errors.

use std::time::Duration;

use codex_telemetry::{
    BoxError, Call, Classification, CodexClassifier, ErrorClass, Operation, Originator, Outcome,
    RetryPolicy, ServiceBuilderExt, event::names,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::support::*;

/// Stands for a client of the Codex app server.
mod client {
    use std::{fmt, future::Future, pin::Pin, time::Duration};

    /// Not `Clone`, like a request with a stream in it.
    pub(super) struct UserTurn {
        pub(super) text: String,
    }

    pub(super) struct Reply {
        pub(super) text: String,
        pub(super) input_tokens: i64,
    }

    /// An error without a `source`.
    #[derive(Debug, PartialEq)]
    pub(super) enum ClientError {
        Rpc { code: i64 },
        Busy { wait: Duration },
        Disconnected,
    }

    pub(super) struct Client;

    impl Client {
        pub(super) fn send(
            &self,
            turn: UserTurn,
        ) -> Pin<Box<dyn Future<Output = Result<Reply, ClientError>> + Send>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                match turn.text.as_str() {
                    "rpc" => Err(ClientError::Rpc { code: -32602 }),
                    "busy" => Err(ClientError::Busy {
                        wait: Duration::from_secs(7),
                    }),
                    "gone" => Err(ClientError::Disconnected),
                    text => Ok(Reply {
                        text: text.to_uppercase(),
                        input_tokens: 11,
                    }),
                }
            })
        }
    }

    impl fmt::Display for ClientError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Rpc { code } => write!(f, "the server answered {code}"),
                Self::Busy { .. } => f.write_str("the server is busy"),
                Self::Disconnected => f.write_str("the connection is gone"),
            }
        }
    }

    impl std::error::Error for ClientError {}
}
use client::{Client, ClientError, UserTurn};

fn classify(error: &ClientError) -> Classification {
    match error {
        ClientError::Rpc { code: -32602 } => Classification::of(ErrorClass::InvalidRequest, error),
        ClientError::Rpc { .. } => Classification::of(ErrorClass::ServerError, error),
        ClientError::Busy { wait } => {
            Classification::of(ErrorClass::Overloaded, error).with_retry_after(Some(*wait))
        }
        ClientError::Disconnected => Classification::of(ErrorClass::Transport, error),
    }
}

/// Sends a turn through the three layers.
async fn run(sink: &MemorySink, text: &str) -> Result<String, ClientError> {
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(classify)
        .service_fn(|call: Call<UserTurn>| async move {
            let reply = Client.send(call.request).await?;
            call.context.record(names::INPUT_TOKENS, reply.input_tokens);
            Ok(reply.text)
        });
    let turn = UserTurn {
        text: text.to_owned(),
    };
    let call = Call::new(Operation::Turn, turn).with_name("reviewer");
    turns.oneshot(call).await
}

#[tokio::test]
async fn a_response_is_returned_and_its_turn_has_the_tokens() {
    let sink = MemorySink::new();
    assert_eq!(run(&sink, "hello").await.as_deref(), Ok("HELLO"));
    let turn = only(&sink);
    assert_eq!(turn.name(), "codex.turn.stop");
    assert_eq!(turn.call_name(), Some("reviewer"));
    assert_eq!(turn.originator(), Some(&Originator::Sdk));
    assert_eq!(turn.attribute(names::INPUT_TOKENS), Some(&11.into()));
}

#[tokio::test]
async fn an_error_is_returned_unchanged_and_its_turn_has_the_class() {
    let wait = Duration::from_secs(7);
    for (text, error, class, retry_after) in [
        (
            "rpc",
            ClientError::Rpc { code: -32602 },
            ErrorClass::InvalidRequest,
            None,
        ),
        (
            "busy",
            ClientError::Busy { wait },
            ErrorClass::Overloaded,
            Some(wait),
        ),
        (
            "gone",
            ClientError::Disconnected,
            ErrorClass::Transport,
            None,
        ),
    ] {
        let sink = MemorySink::new();
        let message = error.to_string();
        assert_eq!(run(&sink, text).await, Err(error));
        let turn = only(&sink);
        assert_eq!(turn.outcome(), Some(Outcome::Error));
        assert_eq!(turn.error_class(), Some(class));
        assert_eq!(turn.error_message(), Some(message.as_str()));
        assert_eq!(turn.retry_after(), retry_after);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_retried_after_the_time_that_it_names() {
    let sink = MemorySink::new();
    let turns = ServiceBuilder::new()
        .timing(sink.clone())
        .retry(RetryPolicy::new().classifier(classify))
        .service_fn(|call: Call<&'static str>| async move {
            let text = match call.context.attempt() {
                1 => "busy".to_owned(),
                _ => call.request.to_owned(),
            };
            Ok::<_, ClientError>(Client.send(UserTurn { text }).await?.text)
        });
    let began = tokio::time::Instant::now();
    let answer = turns.oneshot(Call::new(WORK, "hello")).await;
    assert_eq!(answer.as_deref(), Ok("HELLO"));
    // The time of the error, and up to the backoff on top.
    let waited = began.elapsed().as_secs_f64();
    assert!((7.0..=8.1).contains(&waited), "{waited}");
    assert_eq!(only(&sink).span_events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_client_and_of_tower_are_both_classified() {
    let sink = MemorySink::new();
    let turns = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(|error: &BoxError| match error.downcast_ref() {
            Some(error) => classify(error),
            None => CodexClassifier.of(&**error),
        })
        .timeout(Duration::from_secs(5))
        .service_fn(|call: Call<&'static str>| async move {
            let text = call.request.to_owned();
            if text == "slow" {
                std::future::pending::<()>().await;
            }
            Client.send(UserTurn { text }).await.map(|reply| reply.text)
        });
    for (text, class) in [
        ("gone", ErrorClass::Transport),
        ("slow", ErrorClass::Timeout),
    ] {
        let answer = turns.clone().oneshot(Call::new(WORK, text)).await;
        assert!(answer.is_err());
        assert_eq!(only(&sink).error_class(), Some(class));
    }
}
