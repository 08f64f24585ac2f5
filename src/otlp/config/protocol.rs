use std::fmt;

use super::flaw::Flaw;

/// How OTLP is spoken.
///
/// ```
/// use codex_telemetry::otlp::config::Protocol;
///
/// assert_eq!(Protocol::default().as_str(), "http/protobuf");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// gRPC, which needs the crate's feature `grpc`.
    Grpc,
    /// Protobuf over HTTP, the default.
    #[default]
    HttpProtobuf,
    /// JSON over HTTP.
    HttpJson,
}

impl Protocol {
    /// Returns the name, as the environment variables have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        [Self::Grpc, Self::HttpProtobuf, Self::HttpJson]
            .into_iter()
            .find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()))
            .ok_or("none of grpc, http/protobuf, http/json".into())
            .and_then(Self::available)
    }

    /// Refuses a protocol that this build of the crate cannot speak.
    pub(super) fn available(self) -> Result<Self, Flaw> {
        if self == Self::Grpc && !cfg!(feature = "grpc") {
            return Err("grpc is not in this build, which lacks the feature `grpc`".into());
        }
        Ok(self)
    }

    pub(super) fn default_endpoint(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::HttpProtobuf | Self::HttpJson => "http://localhost:4318",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
