use super::ProbeErrorKind;

/// The kind of a problem by its text: the libraries in between do not hand on their errors' types.
pub(super) fn of(endpoint: &str, problem: &str) -> ProbeErrorKind {
    // Not by the endpoint, whose name may be anything.
    let problem = problem.strip_prefix(endpoint).unwrap_or(problem);
    let text = problem.trim_start_matches(": ").to_ascii_lowercase();
    // Over gRPC, many do not say why they hang up on a new connection: those that want a client's
    // certificate, and those that speak HTTP/1 or TLS.
    let cut = ["broken pipe", "connection reset", "connection closed"];
    let cut = text.contains("transport error") && cut.iter().any(|how| text.contains(how));
    match by_text(&text) {
        ProbeErrorKind::Other if cut && endpoint.starts_with("https:") => ProbeErrorKind::Tls,
        ProbeErrorKind::Other if cut => ProbeErrorKind::WrongProtocol,
        kind => kind,
    }
}

fn by_text(text: &str) -> ProbeErrorKind {
    use ProbeErrorKind as K;
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // An answer is judged by its number: its words are the receiver's, and may speak of anything.
    if let Some((status, words)) = text
        .strip_prefix("it answered ")
        .and_then(|told| told.split_at_checked(3))
    {
        return match status {
            "401" | "403" => K::Unauthorized,
            "404" | "405" => K::NotFound,
            "415" => K::WrongProtocol,
            "200" if words.contains("not otlp") => K::WrongProtocol,
            // What servers say to a plain request on a port of TLS.
            "400" if words.contains("https port") || words.contains("https server") => K::Tls,
            _ => K::Other,
        };
    }
    let grpc = text.contains("grpc code: ");
    if says(&["code: unauthenticated", "code: permissiondenied"]) {
        K::Unauthorized
    } else if says(&["code: unimplemented"]) {
        K::NotFound
    } else if says(&[
        "failed to decode protobuf",
        "invalid compression flag",
        "grpc-status header missing",
    ]) {
        K::WrongProtocol
    } else if says(&[
        "timed out",
        "no answer within",
        "timeout expired",
        "code: deadlineexceeded",
    ]) {
        K::Timeout
    } else if grpc && !text.contains("transport error") && !text.contains("h2 protocol error") {
        // The receiver's own code.
        K::Other
    } else if says(&["dns error", "failed to lookup", "name or service not known"]) {
        K::Dns
    } else if says(&["connection refused"]) {
        K::Refused
    } else if says(&[
        "certificate",
        "tls",
        "fatal alert",
        "unknownissuer",
        "corrupt message",
    ]) {
        K::Tls
    } else if says(&[
        "invalid http version",
        "unexpected message from connection",
        "http2 error",
        "h2 protocol error",
        "frame with invalid size",
    ]) {
        K::WrongProtocol
    } else {
        K::Other
    }
}
