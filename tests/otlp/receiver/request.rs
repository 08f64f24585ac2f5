use std::{collections::BTreeMap, time::Instant};

/// A request that came, whatever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path, which over gRPC names the method: `/package.Service/Export`.
    pub(crate) path: String,
    /// Header names in lower case; values of a repeated header are joined by `, `.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) encoding: Encoding,
    pub(crate) format: Option<Format>,
    /// How long the body was on the wire.
    pub(crate) body_bytes: usize,
    /// When the whole request was read.
    pub(crate) received_at: Instant,
    pub(crate) answered: Answered,
}

/// How a request's body was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Other(String),
}

/// How a request's messages were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Http(u16),
    Grpc(tonic::Code),
    /// Left hanging, or cut off.
    Nothing,
}

// === impl Request ===

impl Request {
    /// Returns the value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the HTTP status answered.
    pub(crate) fn status(&self) -> Option<u16> {
        match self.answered {
            Answered::Http(status) => Some(status),
            Answered::Grpc(_) | Answered::Nothing => None,
        }
    }
}

// === impl Encoding ===

impl Encoding {
    pub(super) fn of(name: Option<&str>) -> Self {
        match name {
            None | Some("" | "identity") => Self::Identity,
            Some("gzip") => Self::Gzip,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

// === impl Format ===

impl Format {
    pub(super) fn of(content_type: Option<&str>) -> Option<Self> {
        let essence = content_type?.split(';').next()?.trim();
        match essence {
            "application/x-protobuf" | "application/grpc" | "application/grpc+proto" => {
                Some(Self::Protobuf)
            }
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}
