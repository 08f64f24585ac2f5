#![doc = include_str!("../docs/overhead.md")]
// The rows of its tables have the names of the benchmarks.
#![allow(clippy::doc_markdown)]
