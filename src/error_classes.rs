#![doc = include_str!("../docs/error-classes.md")]
