use codex_telemetry::ErrorClass;

use crate::page::table;

#[test]
fn every_class_stands_once_in_the_table_for_the_night() {
    let rows = table("### Classes");
    let cells = rows.iter().flat_map(|row| row[0].split(", "));
    let mut listed: Vec<_> = cells.map(|cell| cell.trim_matches('`')).collect();
    let mut classes: Vec<_> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    listed.sort_unstable();
    classes.sort_unstable();
    assert_eq!(listed, classes);
}
