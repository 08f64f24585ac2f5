use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{self as proto, span::SpanKind, status::StatusCode},
};

use super::{
    origin::{Origin, hex},
    value::{Attributes, Value, attributes},
};

/// A span with its resource and scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_span_id: Option<String>,
    pub(crate) trace_state: String,
    pub(crate) flags: u32,
    pub(crate) kind: SpanKind,
    pub(crate) status: StatusCode,
    pub(crate) status_message: String,
    pub(crate) attributes: Attributes,
    pub(crate) dropped_attributes: u32,
    pub(crate) events: Vec<Event>,
    pub(crate) dropped_events: u32,
    pub(crate) links: usize,
    pub(crate) start_nanos: u64,
    pub(crate) end_nanos: u64,
    pub(crate) origin: Origin,
}

/// A span event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
    pub(crate) dropped_attributes: u32,
    pub(crate) time_nanos: u64,
}

impl Span {
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    fn decode(span: proto::Span, origin: &Origin) -> Result<Self, String> {
        let status = span.status.unwrap_or_default();
        let events = span.events.into_iter().map(|event| {
            Ok::<_, String>(Event {
                name: event.name,
                attributes: attributes(event.attributes)?,
                dropped_attributes: event.dropped_attributes_count,
                time_nanos: event.time_unix_nano,
            })
        });
        Ok(Self {
            trace_id: hex(&span.trace_id, 16)?.ok_or("a span without a trace id")?,
            span_id: hex(&span.span_id, 8)?.ok_or("a span without an id")?,
            parent_span_id: hex(&span.parent_span_id, 8)?,
            trace_state: span.trace_state,
            flags: span.flags,
            kind: SpanKind::try_from(span.kind).map_err(|error| error.to_string())?,
            status: StatusCode::try_from(status.code).map_err(|error| error.to_string())?,
            status_message: status.message,
            attributes: attributes(span.attributes)?,
            dropped_attributes: span.dropped_attributes_count,
            dropped_events: span.dropped_events_count,
            events: events.collect::<Result<_, _>>()?,
            links: span.links.len(),
            start_nanos: span.start_time_unix_nano,
            end_nanos: span.end_time_unix_nano,
            origin: origin.clone(),
            name: span.name,
        })
    }
}

pub(in crate::receiver) fn spans(request: ExportTraceServiceRequest) -> Result<Vec<Span>, String> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = Origin::of_resource(group.resource, group.schema_url)?;
        for group in group.scope_spans {
            let origin = resource.with_scope(group.scope, group.schema_url)?;
            for span in group.spans {
                spans.push(Span::decode(span, &origin)?);
            }
        }
    }
    Ok(spans)
}
