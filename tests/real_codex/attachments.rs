//! Attachments of a turn, which reach the model and the commands of the turn.

use std::{fs, path::Path, time::Duration};

use codex_telemetry::{
    attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl},
    turn::{Sandbox, Turn, TurnRequest},
};
use serde_json::json;
use tower::ServiceExt;

use crate::{
    app_server::Transport, bench::Bench, calls::assert_ok, gate::Gate, inputs::PNG,
    model::Recorded, reply::Reply,
};

/// Expires at once: only a lease keeps the file.
const EXPIRED: Ttl = Ttl::For(Duration::ZERO);

/// A store, which is removed in the end.
struct Store {
    store: AttachmentStore,
    _directory: tempfile::TempDir,
}

impl Store {
    /// Opens a store outside of the directories that are writable in a sandbox anyway, such as `/tmp`.
    fn open() -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        Self {
            store: AttachmentStore::open(directory.path()).unwrap(),
            _directory: directory,
        }
    }

    /// Removes what has expired, and returns how many files were removed, and how many a lease has kept.
    async fn sweep(&self) -> (u64, u64) {
        let cleanup = CleanupService::new(self.store.clone());
        let report = cleanup.oneshot(CleanupRequest::expired()).await.unwrap();
        (report.removed, report.leased)
    }
}

impl Bench {
    /// Returns a request for a transport.
    fn request_on(&self, transport: Transport) -> TurnRequest {
        match transport {
            Transport::Exec => self.request("Go").with_env("TMPDIR", "/tmp"),
            Transport::AppServer => self.ask("Go"),
        }
    }

    /// Runs such a request. The turn completes.
    async fn complete_on(&self, transport: Transport, request: TurnRequest) -> Turn {
        match transport {
            Transport::Exec => self.run(request).await.unwrap(),
            Transport::AppServer => {
                let server = self.app_server(|builder| builder.env("TMPDIR", "/tmp"));
                let turn = server.complete(request).await;
                server.end().await;
                turn
            }
        }
    }

    /// Returns a request for a transport that leaves the sandbox to Codex's configuration.
    fn without_sandbox(&self, transport: Transport) -> TurnRequest {
        let request = TurnRequest::new("Go")
            .with_model("gpt-5.5")
            .with_working_directory(self.work.path());
        if transport == Transport::AppServer {
            return request;
        }
        let other = self.request_on(transport);
        let request = other.config().fold(request, |request, (key, value)| {
            request.with_config(key, value.clone())
        });
        other
            .environment()
            .fold(request, |request, (key, value)| match value {
                Some(value) => request.with_env(key, value),
                None => request.without_env(key),
            })
    }

    /// Returns what the model was told of the only command.
    fn output(&self) -> String {
        let asked = self.model.asked();
        let body = asked.last().unwrap().json();
        let items = body["input"].as_array().unwrap().iter();
        let outputs: Vec<_> = items
            .filter(|item| item["type"] == "function_call_output")
            .map(|item| item["output"].to_string())
            .collect();
        assert_eq!(outputs.len(), 1, "{body:#}");
        outputs.concat()
    }
}

/// Returns the images of a conversation.
fn images(asked: &Recorded) -> usize {
    let parts = asked.content().into_iter();
    let images = parts.filter(|part| {
        let url = part["image_url"].as_str().unwrap_or_default();
        part["type"] == "input_image" && url.starts_with("data:image/png;base64,iVBOR")
    });
    images.count()
}

/// Returns a command that reads a file and then removes it, if it may.
fn read_and_remove(path: &Path) -> String {
    let path = path.display();
    // Codex reports a failure that looks like one of its sandbox in another way.
    format!("cat '{path}'; unlink '{path}'; true")
}

#[tokio::test]
async fn the_model_gets_an_attached_image_and_a_command_reads_an_attached_text_by_its_path() {
    for transport in Transport::ALL {
        let store = Store::open();
        let image = store.store.stage_bytes("plot.PNG", PNG, EXPIRED).await;
        let notes = store.store.stage_bytes("my notes", "plum", EXPIRED).await;
        let (image, notes) = (image.unwrap(), notes.unwrap());
        let (command, path) = (
            format!("cat '{}'", notes.path.display()),
            notes.path.clone(),
        );
        let Some(bench) = Bench::start([Reply::shell(&command), Reply::done()]) else {
            return;
        };
        let request = bench
            .request_on(transport)
            .with_attachment(&image)
            .with_attachment(&notes);
        bench.complete_on(transport, request).await;
        let asked = bench.model.asked();
        assert_eq!(images(&asked[0]), 1, "{transport:?}");
        let texts = asked[0].texts();
        let text = format!(
            "Go\n\nFiles attached by the user:\n- my notes: {}",
            path.display()
        );
        assert!(texts.contains(&text), "{transport:?}: {texts:#?}");
        assert!(bench.output().contains("plum"), "{}", bench.output());
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        assert_ok(calls.tool());
    }
}

#[tokio::test]
async fn a_sweep_removes_the_attachments_of_a_turn_after_its_end_and_not_before() {
    for transport in Transport::ALL {
        let store = Store::open();
        let image = store.store.stage_bytes("plot.png", PNG, EXPIRED).await;
        let notes = store.store.stage_bytes("notes", "plum", EXPIRED).await;
        let (image, notes) = (image.unwrap(), notes.unwrap());
        let command = format!("cat '{}'", notes.path.display());
        let gate = Gate::new();
        let script = [Reply::shell(&command).held(&gate), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let request = bench
            .request_on(transport)
            .with_attachment(&image)
            .with_attachment(&notes);
        drop((image, notes));
        let during = async {
            gate.reached().await;
            let swept = store.sweep().await;
            gate.open();
            swept
        };
        let (_, swept) = tokio::join!(bench.complete_on(transport, request), during);
        assert_eq!(swept, (0, 2), "{transport:?}");
        assert!(bench.output().contains("plum"), "{}", bench.output());
        assert_eq!(store.sweep().await, (2, 0), "{transport:?}");
        bench.calls(1);
    }
}

#[tokio::test]
async fn a_command_reads_an_attachment_in_each_sandbox_and_removes_it_only_from_an_added_directory()
{
    if !crate::tools::sandbox_works().await {
        return;
    }
    for (sandbox, is_added) in [
        (Sandbox::ReadOnly, false),
        (Sandbox::WorkspaceWrite, false),
        (Sandbox::WorkspaceWrite, true),
    ] {
        for transport in Transport::ALL {
            let store = Store::open();
            let notes = store.store.stage_bytes("notes", "plum", EXPIRED).await;
            let notes = notes.unwrap();
            let command = read_and_remove(&notes.path);
            let Some(bench) = Bench::start([Reply::shell(&command), Reply::done()]) else {
                return;
            };
            let request = bench.request_on(transport).with_sandbox(sandbox);
            let request = request.with_attachment(&notes);
            let request = match is_added {
                true => request.with_additional_directory(store.store.directory()),
                false => request,
            };
            bench.complete_on(transport, request).await;
            let case = format!("{sandbox:?} by {transport:?}, added: {is_added}");
            assert!(
                bench.output().contains("plum"),
                "{case}: {}",
                bench.output()
            );
            assert_eq!(notes.path.exists(), !is_added, "{case}");
            bench.calls(1);
        }
    }
}

#[tokio::test]
async fn a_permission_profile_that_restricts_reading_can_allow_the_store_without_making_it_writable()
 {
    if !crate::tools::sandbox_works().await {
        return;
    }
    for (transport, is_allowed) in Transport::ALL
        .into_iter()
        .flat_map(|transport| [(transport, false), (transport, true)])
    {
        let store = Store::open();
        let notes = store.store.stage_bytes("notes", "plum", EXPIRED).await;
        let notes = notes.unwrap();
        let command = read_and_remove(&notes.path);
        let Some(bench) = Bench::start([Reply::shell(&command), Reply::done()]) else {
            return;
        };
        // The sandbox runs the binary again.
        let binary = bench.codex.canonicalize().unwrap();
        let profile = format!(
            "default_permissions = 'narrow'
            [permissions.narrow.filesystem]
            ':minimal' = 'read'
            '{}' = 'read'
            ':workspace_roots' = {{ '.' = 'write' }}",
            binary.parent().unwrap().display()
        );
        fs::write(bench.home.path().join("config.toml"), profile).unwrap();
        let request = bench.without_sandbox(transport).with_attachment(&notes);
        let directory = store.store.directory().to_str().unwrap();
        let allowed = json!({directory: "read"});
        let request = match is_allowed {
            true => request.with_config("permissions.narrow.filesystem", allowed),
            false => request,
        };
        bench.complete_on(transport, request).await;
        let output = bench.output();
        assert_eq!(output.contains("plum"), is_allowed, "{output}");
        assert_eq!(output.contains("No such file"), !is_allowed, "{output}");
        assert!(notes.path.exists(), "{output}");
        bench.calls(1);
    }
}
