//! The configuration of the export over OTLP is what `docs/otlp.md` says, row by row.
#![cfg(feature = "otlp")]

mod any_variables;
mod bad_connections;
mod bad_endpoints;
mod bad_values;
mod builder;
mod documentation;
mod good_values;
mod precedence;
mod secrets;
mod support;
mod switch;
