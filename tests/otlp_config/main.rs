//! The OTLP configuration reads variables and builder values as `docs/otlp.md` documents.
#![cfg(feature = "otlp")]

mod arbitrary_variables;
mod builder;
mod documentation;
mod invalid_connections;
mod invalid_endpoints;
mod invalid_values;
mod precedence;
mod secrets;
mod support;
mod switch;
mod valid_values;
