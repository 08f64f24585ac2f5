use std::{fmt, sync::Arc};

use serde_json::{Value, json};

/// What a model is told of a tool: its name, what it does, and the JSON schema of its arguments.
///
/// A name has letters, digits, `_` and `-`. One in a namespace of the registry has the name of that before it and a
/// dot between: `tickets.lookup`. [`ToolServiceBuilder::build`](super::ToolServiceBuilder::build) checks all of it.
///
/// ```
/// use codex_telemetry::tool::ToolSpec;
/// use serde_json::json;
///
/// let spec = ToolSpec::new("lookup_ticket", "Returns the title and the state of a ticket").with_input_schema(json!({
///     "type": "object",
///     "properties": { "id": { "type": "integer", "description": "The number of the ticket" } },
///     "required": ["id"],
/// }));
/// assert_eq!(spec.name(), "lookup_ticket");
/// assert_eq!(spec.description(), "Returns the title and the state of a ticket");
/// assert_eq!(spec.input_schema()["required"], json!(["id"]));
/// ```
///
/// With the feature `schemars`, the schema comes from the type of the arguments:
#[cfg_attr(feature = "schemars", doc = "```")]
#[cfg_attr(not(feature = "schemars"), doc = "```ignore")]
/// use codex_telemetry::tool::ToolSpec;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Lookup {
///     /// The number of the ticket.
///     id: u32,
/// }
///
/// let spec = ToolSpec::of::<Lookup>("lookup_ticket", "Returns the title and the state of a ticket");
/// assert_eq!(spec.input_schema()["properties"]["id"]["description"], "The number of the ticket.");
/// ```
#[derive(Clone, PartialEq)]
pub struct ToolSpec {
    name: Arc<str>,
    description: String,
    input_schema: Value,
}

impl ToolSpec {
    /// Returns the specification of a tool that takes any object.
    pub fn new(name: impl Into<Arc<str>>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema: json!({"type": "object", "properties": {}}),
        }
    }

    /// Returns the specification of a tool with arguments of a type.
    ///
    /// The descriptions of the fields are their doc comments. The types of the fields are written where they are used,
    /// without references, as far as they do not contain themselves.
    #[cfg(feature = "schemars")]
    pub fn of<A: schemars::JsonSchema>(
        name: impl Into<Arc<str>>,
        description: impl Into<String>,
    ) -> Self {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            // What it says is for validators; a model would only read it.
            settings.meta_schema = None;
            settings.inline_subschemas = true;
        });
        let mut schema = settings.into_generator().into_root_schema_for::<A>();
        // The name of the type in this program.
        schema.remove("title");
        Self::new(name, description).with_input_schema(schema.to_value())
    }

    /// Sets the JSON schema of the arguments. Its type has to be `object`: models call tools with named arguments.
    ///
    /// It tells the model what to send; what arrives is checked by the tool alone. Codex passes on types, names, `required`,
    /// `enum`, descriptions and how schemas are combined. It leaves out `format`, `pattern`, limits, `default` and
    /// examples, and all descriptions of a schema of more than about 5,000 bytes: a limit belongs into a description, and a
    /// long explanation into that of the tool.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.input_schema = schema;
        self
    }

    /// Returns the name, with the namespace if there is one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the tool does, for the model.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the JSON schema of the arguments.
    #[must_use]
    pub const fn input_schema(&self) -> &Value {
        &self.input_schema
    }

    /// Returns the namespace, if there is one, and the name in it.
    pub(crate) fn parts(&self) -> (Option<&str>, &str) {
        match self.name.split_once('.') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, &self.name),
        }
    }

    pub(super) const fn shared_name(&self) -> &Arc<str> {
        &self.name
    }
}

/// Shows the name: a schema is long.
impl fmt::Debug for ToolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolSpec")
            .field("name", &self.name)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
