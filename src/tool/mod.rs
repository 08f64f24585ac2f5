//! Tools by name: a registry, approval, and counts.
