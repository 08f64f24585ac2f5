//! Holds nothing; see `tests/`.
