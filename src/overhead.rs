#![doc = include_str!("../docs/overhead.md")]
// Its rows are named as the benchmarks are.
#![allow(clippy::doc_markdown)]
