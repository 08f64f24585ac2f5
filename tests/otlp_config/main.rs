//! The OTLP configuration reads variables and builder values as `docs/otlp.md` documents.
#![cfg(feature = "otlp")]

mod arbitrary_variables;
mod builder;
mod content;
mod documentation;
mod exporters;
mod invalid_connections;
mod invalid_endpoints;
mod invalid_values;
mod limits;
mod precedence;
mod scheme;
mod secrets;
mod support;
mod switch;
mod valid_values;
mod variables;
