//! Which proxy the requests go through, and what it sees.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{ConfigWithWarnings, OtlpConfigBuilder, Protocol},
    },
};

use super::{
    content::exported, headers::receivers, subprocess::in_subprocess,
    tls::receivers as tls_receivers,
};
use crate::{
    receiver::{Pki, Receiver, Tls, closed_port},
    rig::{PATIENCE, calls},
};

/// A proxy that opens tunnels, and records the requests for them.
struct Tunnel {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Starts a proxy. Its threads end with their connections, and the last one with the process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming() {
                let recorded = Arc::clone(&recorded);
                thread::spawn(move || tunnel(&client.unwrap(), &recorded));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a request for a tunnel, connects to its destination, and copies until either side ends.
fn tunnel(client: &TcpStream, requests: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let destination = head.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.lock().unwrap().push(head);
    let server = TcpStream::connect(destination)?;
    (&*client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut reader, &mut &server);
            server.shutdown(Shutdown::Write)
        });
        let _ = io::copy(&mut &server, &mut &*client);
        client.shutdown(Shutdown::Write)
    })
}

/// Exports with the configuration of these variables.
#[track_caller]
fn export(variables: &[(&str, &str)]) {
    let ConfigWithWarnings { config, warnings } =
        OtlpConfig::from_variables(variables.iter().copied());
    assert_eq!(warnings, [], "{variables:?}");
    let sink = OtlpSink::start(config.unwrap());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{variables:?}");
}

#[test]
fn a_configuration_from_code_does_not_use_the_proxy_of_the_environment() {
    let name = "proxies::a_configuration_from_code_does_not_use_the_proxy_of_the_environment";
    let proxy = Receiver::http();
    let url = proxy.endpoint();
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ];
    let mut variables = names.map(|name| (name, &*url)).to_vec();
    variables.push(("NO_PROXY", ""));
    if in_subprocess(name, &variables).is_some() {
        assert_eq!(proxy.requests().len(), 0, "the proxy got the token");
        assert_eq!(proxy.connections(), 0);
        return;
    }
    for (protocol, receiver) in receivers() {
        let token =
            |config: OtlpConfigBuilder| config.protocol(protocol).header("authorization", "s3cret");
        exported(&receiver, token).assert_complete();
    }
}

#[test]
fn the_proxy_of_the_environment_is_used_over_http() {
    let unreachable = closed_port();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        for protocol in ["http/protobuf", "http/json"] {
            let proxy = Receiver::http();
            let address = proxy.endpoint().replace("http://", "");
            export(&[
                ("CODEX_OTLP_ENDPOINT", &unreachable),
                ("CODEX_OTLP_PROTOCOL", protocol),
                ("CODEX_OTLP_HEADERS", "x-tenant=blue"),
                (name, &format!("me:s3cret@{address}")),
            ]);
            let requests = proxy.requests();
            assert_eq!(requests.len(), 3, "{name}");
            for request in requests {
                assert_eq!(request.header("x-tenant"), Some("blue"));
                let authorization = request.header("proxy-authorization");
                assert_eq!(authorization, Some("Basic bWU6czNjcmV0"), "{name}");
                let host = unreachable.trim_start_matches("http://");
                assert_eq!(request.header("host"), Some(host));
            }
        }
    }
}

#[test]
fn requests_over_tls_go_through_a_tunnel_which_sees_no_header() {
    let pki = Pki::new();
    for (protocol, receiver) in tls_receivers(|| Tls::mutual(&pki)) {
        let proxy = Tunnel::start();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        export(&[
            ("CODEX_OTLP_ENDPOINT", &receiver.endpoint()),
            ("CODEX_OTLP_PROTOCOL", protocol.as_str()),
            ("CODEX_OTLP_HEADERS", "authorization=s3cret"),
            ("CODEX_OTLP_CACERTFILE", &path(&pki.ca)),
            ("CODEX_OTLP_CERTFILE", &path(&pki.client_cert)),
            ("CODEX_OTLP_KEYFILE", &path(&pki.client_key)),
            ("HTTPS_PROXY", &proxy.url),
            ("HTTP_PROXY", "http://127.0.0.1:9"),
        ]);
        assert_eq!(receiver.spans().len(), 1, "{protocol}");
        for request in receiver.requests() {
            assert_eq!(request.header("authorization"), Some("s3cret"));
        }
        let destination = receiver.endpoint().replace("https://", "");
        let requests = proxy.requests();
        assert_eq!(requests.len(), receiver.connections(), "{protocol}");
        for request in requests {
            let expected = format!("CONNECT {destination} HTTP/1.1");
            assert!(request.starts_with(&expected), "{protocol}: {request}");
            assert!(!request.contains("s3cret"), "{protocol}: {request}");
        }
    }
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_without_tls_uses_no_proxy() {
    let (proxy, receiver) = (Tunnel::start(), Receiver::grpc());
    export(&[
        ("CODEX_OTLP_ENDPOINT", &receiver.endpoint()),
        ("CODEX_OTLP_PROTOCOL", "grpc"),
        ("HTTP_PROXY", &proxy.url),
        ("ALL_PROXY", &proxy.url),
    ]);
    assert_eq!(receiver.spans().len(), 1);
    assert_eq!(proxy.requests(), [""; 0]);
}

#[test]
fn excluded_hosts_and_programs_of_cgi_use_no_proxy() {
    let dead = closed_port();
    for (name, value) in [
        ("NO_PROXY", "localhost, 127.0.0.0/8"),
        ("no_proxy", "*"),
        ("REQUEST_METHOD", "POST"),
    ] {
        let receiver = Receiver::http();
        export(&[
            ("CODEX_OTLP_ENDPOINT", &receiver.endpoint()),
            ("HTTP_PROXY", &dead),
            (name, value),
        ]);
        assert_eq!(receiver.requests().len(), 3, "{name}");
    }
}

#[test]
fn a_configuration_from_code_uses_the_proxy_that_it_is_given() {
    let proxy = Receiver::http();
    let config = OtlpConfig::builder()
        .endpoint(&closed_port())
        .protocol(Protocol::HttpProtobuf)
        .proxy(&proxy.endpoint());
    let sink = OtlpSink::start(config.build().unwrap());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(proxy.requests().len(), 3);
}

#[test]
fn a_failure_names_the_proxy() {
    let proxy = closed_port();
    for endpoint in ["http://collector.example:4318", "https://collector.example"] {
        let config = OtlpConfig::builder().endpoint(endpoint).proxy(&proxy);
        let error = codex_telemetry::otlp::probe(&config.build().unwrap(), PATIENCE).unwrap_err();
        let expected = format!("{endpoint}/v1/traces through the proxy {proxy}: ");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn no_text_contains_the_password_of_a_proxy() {
    let dead = closed_port();
    let (_, address) = dead.split_at("http://".len());
    let proxy = format!("http://me:s3cret@{address}");
    let config = OtlpConfig::builder()
        .endpoint("http://collector.example:4318")
        .proxy(&proxy)
        .build()
        .unwrap();
    let mut shown = format!("{config:?}");
    let error = codex_telemetry::otlp::probe(&config, PATIENCE).unwrap_err();
    shown += &format!("{error} {error:?}");
    let sink = OtlpSink::start(config);
    calls(sink.clone(), 1);
    let undelivered = sink.blocking_shutdown(std::time::Duration::from_millis(300));
    shown += &format!("{undelivered:?} {:?}", sink.problem(Signal::Traces));
    for variables in [
        [
            ("HTTP_PROXY", "ftp://me:s3cret@proxy"),
            ("CODEX_OTLP_ENABLE", "1"),
        ],
        [
            ("HTTP_PROXY", "http://me:s3cret@"),
            ("CODEX_OTLP_ENABLE", "1"),
        ],
    ] {
        let ConfigWithWarnings { config, warnings } = OtlpConfig::from_variables(variables);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].setting(), "HTTP_PROXY");
        shown += &format!("{config:?} {warnings:?} {}", warnings[0]);
    }
    let error = OtlpConfig::builder()
        .proxy("socks5://me:s3cret@proxy")
        .build();
    shown += &format!("{error:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains("bWU6czNjcmV0"), "{shown}");
}
