use std::{collections::BTreeMap, time::Instant};

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path. Over gRPC it is the method: `/package.Service/Export`.
    pub(crate) path: String,
    /// Header names in lower case; values of a repeated header are joined by `, `.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) encoding: Encoding,
    pub(crate) format: Option<Format>,
    /// The size of the body on the wire.
    pub(crate) body_bytes: usize,
    /// When the request was read completely.
    pub(crate) received_at: Instant,
    pub(crate) replied: Replied,
}

/// The compression of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Other(String),
}

/// The encoding of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// The status of the response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replied {
    Http(u16),
    Grpc(tonic::Code),
    /// There was no response.
    Nothing,
}

// === impl Request ===

impl Request {
    /// Returns the value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the HTTP status of the response.
    pub(crate) fn status(&self) -> Option<u16> {
        match self.replied {
            Replied::Http(status) => Some(status),
            Replied::Grpc(_) | Replied::Nothing => None,
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
