//! Staged files: a store with a time to live, and its cleanup.
