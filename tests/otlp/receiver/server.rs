use std::{
    net::TcpListener,
    panic::resume_unwind,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, sync::oneshot};

use super::connection::Serving;

/// How long a server may take to stop. It has nothing to wait for.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A server on its own thread.
#[derive(Debug)]
pub(super) struct Server {
    stop: oneshot::Sender<()>,
    /// Closed at the end of the thread.
    ended: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts to serve. The listener is bound, so clients can connect immediately.
    pub(super) fn start(listener: TcpListener, serving: Serving) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("otlp-receiver".to_owned());
        let thread = thread.spawn(move || {
            // Dropped after the runtime, whose drop closes every connection.
            let _ending: mpsc::Sender<()> = ending;
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(serve(listener, serving, stopped));
        });
        Self {
            stop,
            ended,
            thread: thread.expect("a thread for the receiver"),
        }
    }

    /// Closes the listener and every connection.
    pub(super) fn stop(self) {
        drop(self.stop);
        let ended = self.ended.recv_timeout(STOP_WITHIN);
        if thread::panicking() {
            return;
        }
        assert_eq!(
            ended,
            Err(RecvTimeoutError::Disconnected),
            "the receiver's thread does not end"
        );
        if let Err(panic) = self.thread.join() {
            resume_unwind(panic);
        }
    }
}

async fn serve(listener: TcpListener, serving: Serving, stopped: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a nonblocking listener");
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await.expect("to accept");
            serving.shared.connected();
            tokio::spawn(serving.clone().serve(stream));
        }
    };
    tokio::select! {
        // The sender is dropped without a message.
        _ = stopped => {}
        () = accepting => {}
    }
}
