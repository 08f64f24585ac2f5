use std::fmt;
#[cfg(all(feature = "turn", unix))]
use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::{
    error::BoxError,
    event::content::{to_json, to_text},
};

/// The output of a tool: a result as JSON, and images and sounds beside it.
///
/// A model reads the result as a text: the string that it is, or else its JSON. An output with media and a result of
/// `null` has no text.
///
/// Its `Debug` output shows sizes only.
///
/// ```
/// use codex_telemetry::tool::ToolOutput;
/// use serde_json::json;
///
/// let plot = ToolOutput::new(json!({ "points": 12 }))
///     .with_image("image/png", *b"\x89PNG...")
///     .with_audio("audio/wav", *b"RIFF...");
/// assert_eq!(plot.content["points"], 12);
/// assert_eq!(plot.media().len(), 2);
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolOutput {
    /// The result as JSON.
    pub content: Value,
    media: Vec<Media>,
}

/// An image or a sound in the output of a tool.
///
/// ```
/// use codex_telemetry::tool::ToolOutput;
///
/// let plot = ToolOutput::new("a plot".into()).with_image("image/png", *b"\x89PNG...");
/// let [image] = plot.media() else { panic!("there is one image") };
/// assert_eq!(image.mime_type(), "image/png");
/// assert!(image.data().starts_with(b"\x89PNG"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    kind: MediaKind,
    mime_type: String,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Audio,
}

/// What a function of [`tool_fn`](super::tool_fn) may return: anything that can be serialized, or a [`ToolOutput`].
///
/// ```
/// use codex_telemetry::{
///     BoxError,
///     tool::{IntoToolOutput, ToolCall, ToolOutput, tool_fn},
/// };
/// use serde::Serialize;
/// use serde_json::json;
/// use tower::ServiceExt;
///
/// #[derive(Serialize)]
/// struct Weather { celsius: i32 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// assert_eq!(Weather { celsius: -3 }.into_tool_output()?, ToolOutput::new(json!({ "celsius": -3 })));
///
/// // With an image beside it.
/// let weather = tool_fn(|_: String, _context| async move {
///     let output = Weather { celsius: -3 }.into_tool_output()?;
///     Ok::<_, BoxError>(output.with_image("image/png", *b"\x89PNG..."))
/// });
/// let output = weather.oneshot(ToolCall::new("weather", json!("Oslo"))).await?;
/// assert_eq!((&output.content["celsius"], output.media().len()), (&json!(-3), 1));
/// # Ok(())
/// # }
/// ```
pub trait IntoToolOutput {
    /// Returns the output.
    ///
    /// # Errors
    ///
    /// The value cannot be serialized as JSON.
    fn into_tool_output(self) -> Result<ToolOutput, BoxError>;
}

// === impl ToolOutput ===

impl ToolOutput {
    /// Returns an output with this content.
    #[must_use]
    pub const fn new(content: Value) -> Self {
        Self {
            content,
            media: Vec::new(),
        }
    }

    /// Adds an image, with its bytes, such as those of a PNG file.
    #[must_use]
    pub fn with_image(self, mime_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.with(MediaKind::Image, mime_type.into(), data.into())
    }

    /// Adds a sound, with its bytes, such as those of a WAV file.
    #[must_use]
    pub fn with_audio(self, mime_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.with(MediaKind::Audio, mime_type.into(), data.into())
    }

    fn with(mut self, kind: MediaKind, mime_type: String, data: Vec<u8>) -> Self {
        self.media.push(Media {
            kind,
            mime_type,
            data,
        });
        self
    }

    /// Returns the images and the sounds, in the order in which they were added.
    #[must_use]
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// Returns the text for the model; `None` if there are only media.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn text(&self) -> Option<String> {
        match &self.content {
            Value::Null if !self.media.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// Returns the length of the text for the model and of the media in base64, in bytes.
    #[cfg(all(feature = "turn", unix))]
    pub(super) fn length(&self) -> usize {
        let text = match &self.content {
            Value::Null if !self.media.is_empty() => 0,
            Value::String(text) => text.len(),
            other => json_length(other),
        };
        let media = self.media.iter();
        media.fold(text, |length, media| {
            length + media.mime_type.len() + media.data.len().div_ceil(3) * 4
        })
    }

    /// Returns the text that the content is, or else its JSON, which is cut if it is long.
    pub(super) fn to_text(&self) -> String {
        match &self.content {
            Value::String(text) => to_text(text),
            other => to_json(other),
        }
    }
}

impl From<Value> for ToolOutput {
    fn from(content: Value) -> Self {
        Self::new(content)
    }
}

impl IntoToolOutput for ToolOutput {
    fn into_tool_output(self) -> Result<ToolOutput, BoxError> {
        Ok(self)
    }
}

impl<T: Serialize> IntoToolOutput for T {
    fn into_tool_output(self) -> Result<ToolOutput, BoxError> {
        Ok(ToolOutput::new(serde_json::to_value(self)?))
    }
}

impl fmt::Debug for ToolOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolOutput")
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

/// Returns how many bytes a value takes as JSON.
#[cfg(all(feature = "turn", unix))]
fn json_length(value: &Value) -> usize {
    struct Length(usize);

    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut length = Length(0);
    // Neither a value nor the writer fails.
    let _ = serde_json::to_writer(&mut length, value);
    length.0
}

// === impl Media ===

impl Media {
    /// Returns the type, such as `image/png`.
    #[must_use]
    pub fn mime_type(&self) -> &str {
        &self.mime_type
    }

    /// Returns the bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    #[cfg(all(feature = "turn", unix))]
    pub(crate) const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Returns the bytes in base64.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn to_base64(&self) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};

        STANDARD.encode(&self.data)
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("kind", &self.kind)
            .field("mime_type", &self.mime_type)
            .field("bytes", &self.data.len())
            .finish()
    }
}
