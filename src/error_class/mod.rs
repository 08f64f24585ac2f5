//! Middleware that classifies the error of each call.

mod classify;
pub mod future;
mod layer;
mod service;

pub use self::{
    classify::{BoxErrorClassifier, Classify},
    layer::ErrorClassLayer,
    service::ErrorClassService,
};
