use std::{env, process};

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::{
    Resource,
    resource::{ResourceDetector as _, TelemetryResourceDetector},
};
use uuid::Builder;

use super::OtlpConfig;
use crate::event::id;

/// The schema of the conventions: the release of the general conventions that those for generative AI v0.1.0 are
/// built on. The latter publish development schemas only, which no receiver can resolve.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

pub(super) const SERVICE_NAME: &str = "service.name";
const INSTANCE_ID: &str = "service.instance.id";
const PROCESS_ID: &str = "process.pid";
const HOST_NAME: &str = "host.name";

/// Returns the attributes of an exporting program that sets none: the `service.name` that the OpenTelemetry
/// specification gives to unnamed programs.
pub(super) fn default_resource_attributes() -> Vec<KeyValue> {
    let name = env::current_exe().ok().and_then(|path| {
        let name = path.file_name()?.to_str()?;
        Some(format!("unknown_service:{name}"))
    });
    let name = name.unwrap_or_else(|| "unknown_service".to_owned());
    vec![KeyValue::new(SERVICE_NAME, name)]
}

/// Returns the attributes that are the same for each configuration in this process.
fn detected() -> Vec<KeyValue> {
    let sdk = TelemetryResourceDetector.detect();
    let sdk = sdk.iter();
    let mut detected: Vec<_> = sdk
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .collect();
    detected.push(KeyValue::new(PROCESS_ID, i64::from(process::id())));
    detected.extend(host_name().map(|name| KeyValue::new(HOST_NAME, name)));
    detected
}

/// Returns the name that the system has in its network.
#[cfg(unix)]
fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The standard library has no function for it.
#[cfg(not(unix))]
fn host_name() -> Option<String> {
    None
}

impl OtlpConfig {
    /// Returns the resource: the attributes of the exporting program.
    ///
    /// These are `service.name`, `telemetry.sdk.name`, `telemetry.sdk.language`, `telemetry.sdk.version`,
    /// `process.pid` and, on Unix, `host.name`, and the attributes that the environment and the application
    /// give, which replace them. Each sink adds a `service.instance.id` of its own when it starts, a random
    /// UUID, unless one is given.
    #[must_use]
    pub fn resource(&self) -> Resource {
        let given = self.resource_attributes.iter().cloned();
        let attributes = detected().into_iter().chain(given);
        Resource::builder_empty()
            .with_schema_url(attributes, SCHEMA_URL)
            .build()
    }

    /// Adds resource attributes. They replace attributes of the environment with the same key,
    /// `service.name` included, as the OpenTelemetry specification requires.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    /// use opentelemetry::KeyValue;
    ///
    /// let with_warnings = OtlpConfig::from_variables([
    ///     ("CODEX_OTLP_ENABLE", "1"),
    ///     ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,team=blue"),
    /// ]);
    /// let config = with_warnings.config.expect("it is enabled");
    /// let config = config.with_resource_attributes([KeyValue::new("team", "red")]);
    /// let resource = config.resource();
    /// assert_eq!(resource.get(&"team".into()), Some("red".into()));
    /// assert_eq!(resource.get(&"deployment.environment.name".into()), Some("staging".into()));
    /// ```
    #[must_use]
    pub fn with_resource_attributes(
        mut self,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        self.resource_attributes.extend(attributes);
        self
    }

    /// Adds a random `service.instance.id`, unless one is given.
    ///
    /// Without it, the metrics of all programs with one `service.name` are one series, and each export
    /// replaces the totals of another program.
    pub(crate) fn into_instance(self) -> Self {
        let key = Key::from_static_str(INSTANCE_ID);
        if self
            .resource_attributes
            .iter()
            .any(|given| given.key == key)
        {
            return self;
        }
        let id = Builder::from_random_bytes(id::trace_id().to_bytes()).into_uuid();
        self.with_resource_attributes([KeyValue::new(key, id.to_string())])
    }
}
