use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, resource::v1::Resource};

use super::value::{Attributes, attributes};

/// The resource and the scope of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    /// The resource's attributes.
    pub(crate) resource: Attributes,
    /// The resource's schema.
    pub(crate) resource_schema: String,
    /// The scope's name.
    pub(crate) scope: String,
    /// The scope's version.
    pub(crate) version: String,
    /// The scope's schema.
    pub(crate) scope_schema: String,
    /// The scope's attributes.
    pub(crate) scope_attributes: Attributes,
}

impl Origin {
    pub(super) fn of_resource(resource: Option<Resource>, schema: String) -> Result<Self, String> {
        let resource = resource.unwrap_or_default();
        Ok(Self {
            resource: attributes(resource.attributes)?,
            resource_schema: schema,
            ..Self::default()
        })
    }

    pub(super) fn with_scope(
        &self,
        scope: Option<InstrumentationScope>,
        schema: String,
    ) -> Result<Self, String> {
        let scope = scope.unwrap_or_default();
        Ok(Self {
            resource: self.resource.clone(),
            resource_schema: self.resource_schema.clone(),
            scope: scope.name,
            version: scope.version,
            scope_schema: schema,
            scope_attributes: attributes(scope.attributes)?,
        })
    }
}

/// Returns the id in hexadecimal; `None` if it is empty. An id of zeros is an error: exporters should leave
/// it empty.
pub(super) fn hex(id: &[u8], length: usize) -> Result<Option<String>, String> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() != length || id.iter().all(|byte| *byte == 0) {
        return Err(format!("{id:?} is no identifier of {length} bytes"));
    }
    Ok(Some(id.iter().map(|byte| format!("{byte:02x}")).collect()))
}
