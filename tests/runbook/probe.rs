//! What the probe says, in the table of "Does it arrive".

use std::{process::Command, thread};

use crate::{
    notation::line_matches,
    page::table,
    receiver::{MockResponse, Receiver, closed_port},
    tools::examples,
};

#[test]
fn each_row_is_what_the_probe_says_then() {
    let refusing = Receiver::http();
    refusing.respond_with(MockResponse::Status(401));
    let taking = Receiver::http();
    let grpc = Receiver::grpc();
    let endpoints = [
        closed_port(),
        refusing.endpoint(),
        format!("{}/v1/traces", taking.endpoint()),
        grpc.endpoint(),
    ];
    let rows = table("### Does it arrive");
    assert_eq!(rows.len(), endpoints.len(), "{rows:?}");
    thread::scope(|scope| {
        for (row, endpoint) in rows.iter().zip(&endpoints) {
            scope.spawn(move || {
                let output = Command::new(examples().join("otlp")).arg(endpoint).output();
                let printed = String::from_utf8(output.unwrap().stdout).unwrap();
                let said = printed.lines().next().unwrap();
                let told = row[0].trim_matches('`');
                assert!(line_matches(told, said), "{told:?} is not {said:?}");
            });
        }
    });
}
