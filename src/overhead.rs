// The first definition of a link counts. This one puts the picture into the page, because rustdoc copies no files.
#![doc = concat!("[picture]: data:image/svg+xml;base64,", include_str!("../docs/overhead.svg.base64"))]
#![doc = ""]
#![doc = include_str!("../docs/overhead.md")]
// The rows of its tables have the names of the benchmarks.
#![allow(clippy::doc_markdown)]
