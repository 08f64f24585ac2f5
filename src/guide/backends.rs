// The first definition of a link counts. These lead to pages of rustdoc, and put the pictures into this one, because
// rustdoc copies no files.
//! [app-server]: crate::runbook#the-app-server
//! [locked-thread]: crate::runbook#a-locked-thread
//! [otlp]: crate::otlp::config
//! [sink]: crate::otlp::config#metrics-of-the-sink
#![doc = concat!("[mlflow-content]: data:image/png;base64,", include_str!("../../docs/images/mlflow-content.png.base64"))]
#![doc = concat!("[mlflow-failure]: data:image/png;base64,", include_str!("../../docs/images/mlflow-failure.png.base64"))]
#![doc = concat!("[phoenix]: data:image/png;base64,", include_str!("../../docs/images/phoenix.png.base64"))]
#![doc = ""]
#![doc = include_str!("../../docs/backends.md")]
// Names of products are no code.
#![allow(clippy::doc_markdown)]
