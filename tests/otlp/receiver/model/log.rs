use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{self as proto, SeverityNumber},
};

use super::{
    origin::{Origin, hex},
    value::{Attributes, Value, attributes},
};

/// A log record with its resource and scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogRecord {
    pub(crate) event_name: String,
    pub(crate) severity: SeverityNumber,
    pub(crate) severity_text: String,
    pub(crate) body: Option<Value>,
    pub(crate) attributes: Attributes,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
    pub(crate) flags: u32,
    pub(crate) time_nanos: u64,
    pub(crate) observed_nanos: u64,
    pub(crate) origin: Origin,
}

impl LogRecord {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    fn decode(record: proto::LogRecord, origin: &Origin) -> Result<Self, String> {
        let severity = SeverityNumber::try_from(record.severity_number);
        let body = record.body.map(|body| Value::decode(Some(body)));
        Ok(Self {
            event_name: record.event_name,
            severity: severity.map_err(|error| error.to_string())?,
            severity_text: record.severity_text,
            body: body.transpose()?,
            attributes: attributes(record.attributes)?,
            trace_id: hex(&record.trace_id, 16)?,
            span_id: hex(&record.span_id, 8)?,
            flags: record.flags,
            time_nanos: record.time_unix_nano,
            observed_nanos: record.observed_time_unix_nano,
            origin: origin.clone(),
        })
    }
}

pub(in crate::receiver) fn log_records(
    request: ExportLogsServiceRequest,
) -> Result<Vec<LogRecord>, String> {
    let mut records = Vec::new();
    for group in request.resource_logs {
        let resource = Origin::of_resource(group.resource, group.schema_url)?;
        for group in group.scope_logs {
            let origin = resource.with_scope(group.scope, group.schema_url)?;
            for record in group.log_records {
                records.push(LogRecord::decode(record, &origin)?);
            }
        }
    }
    Ok(records)
}
