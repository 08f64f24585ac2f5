use super::named_enum::named_enum;

named_enum! {
    /// How much attention an event needs. Every sink reports the same one.
    ///
    /// Severities are ordered, so a sink can keep what is at least as severe as its threshold:
    ///
    /// ```
    /// use codex_telemetry::{Call, Event, MemorySink, Operation, Severity, Sink, TimingLayer};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let kept = MemorySink::new();
    /// let sink = kept.clone();
    /// let failures = move |event: Event| if event.severity() >= Severity::Warn { sink.emit(event) };
    /// let service = TimingLayer::new(failures).layer(service_fn(|call: Call<bool>| async move {
    ///     if call.request { Ok(()) } else { Err("sold out") }
    /// }));
    ///
    /// let _ = service.clone().oneshot(Call::new(Operation::Tool, true)).await;
    /// let _ = service.oneshot(Call::new(Operation::Tool, false)).await;
    /// let [failed] = &kept.events()[..] else { panic!("one call failed") };
    /// assert_eq!(failed.severity().as_str(), "WARN");
    /// assert_eq!(Severity::ALL.last(), Some(&Severity::Error));
    /// # }
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum Severity {
        /// A call began, succeeded, or was cancelled by its caller.
        Info = "INFO",
        /// A call failed, and its caller got the error.
        Warn = "WARN",
        /// A call panicked.
        Error = "ERROR",
    }
}
