use crate::{
    figures::{Figures, Table},
    number::{text, with_unit},
};

/// The text for a benchmark that did not run.
pub(crate) const NOT_MEASURED: &str = "not measured";

pub(crate) const BARE: &str = "bare";
pub(crate) const BARE_HTTP: &str = "bare, HTTP";
pub(crate) const OURS: &str = "ours, OTLP: span, metrics, logs";

/// Renders the rungs of `benches/overhead`.
pub(crate) fn ladder(figures: &Figures) -> String {
    let bare = figures.rung("overhead", "bare service");
    let mut table =
        "| rung | median, ns | 95 % interval | over bare |\n|---|--:|--:|--:|\n".to_owned();
    for rung in figures.group("overhead") {
        let over = bare.map_or_else(|| NOT_MEASURED.to_owned(), |bare| text(rung.median - bare));
        let [low, high] = rung.interval.map(text);
        let (name, median) = (&rung.name, text(rung.median));
        table += &format!("| {name} | {median} | {low} – {high} | {over} |\n");
    }
    table
}

/// Renders the rungs of `benches/peers`, by the time that they add to their bare service.
pub(crate) fn peers(figures: &Figures) -> String {
    let ours = added(figures).into_iter().find(|(name, _)| *name == OURS);
    let mut table =
        "| around a ready service | adds, ns | relative to ours with OTLP | median, ns | 95 % interval |\n\
         |---|--:|--:|--:|--:|\n"
            .to_owned();
    for (name, adds) in added(figures) {
        let times = ours.map_or_else(String::new, |(_, ours)| format!("{} ×", text(adds / ours)));
        let Some(rung) = figures.group("peers").find(|rung| rung.name == name) else {
            continue;
        };
        let [low, high] = rung.interval.map(text);
        let (adds, median) = (text(adds), text(rung.median));
        table += &format!("| {name} | {adds} | {times} | {median} | {low} – {high} |\n");
    }
    table
}

/// Renders the time that each peer adds, relative to ours with OTLP.
pub(crate) fn peers_in_short(figures: &Figures) -> String {
    let added = added(figures);
    let Some((_, ours)) = added.iter().find(|(name, _)| *name == OURS) else {
        return format!("*{NOT_MEASURED}*");
    };
    let mut table = "| around a ready service | adds |\n|---|--:|\n".to_owned();
    for (name, adds) in &added {
        table += &format!("| {name} | {} × |\n", in_short(adds / ours));
    }
    table
}

/// Formats a factor with one decimal if it is small, and without decimals otherwise.
fn in_short(factor: f64) -> String {
    let decimals = usize::from(factor < 1.95);
    format!("{factor:.decimals$}")
}

/// Returns the time that each peer adds to its bare service, in nanoseconds, smallest first.
pub(crate) fn added(figures: &Figures) -> Vec<(&str, f64)> {
    let bare = |name: &str| figures.rung("peers", name);
    let (Some(call), Some(http)) = (bare(BARE), bare(BARE_HTTP)) else {
        return Vec::new();
    };
    let rungs = figures.group("peers");
    let rungs = rungs.filter(|rung| rung.name != BARE && rung.name != BARE_HTTP);
    let mut added: Vec<_> = rungs
        .map(|rung| {
            // The others are HTTP middleware.
            let is_call = rung.name.starts_with("ours") || rung.name.ends_with("by hand");
            let bare = if is_call { call } else { http };
            (rung.name.as_str(), rung.median - bare)
        })
        .collect();
    added.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    added
}

/// Renders the table of a benchmark.
pub(crate) fn report(figures: &Figures, name: &str) -> String {
    match figures.tables.get(name) {
        Some(table) => pivot(table),
        None => format!("*{NOT_MEASURED}*"),
    }
}

/// Renders rows of the same name as one line, with a cell for each column.
fn pivot(table: &Table) -> String {
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for cell in &table.cells {
        let column = cell.column.as_deref().unwrap_or_default();
        if !names.contains(&cell.name.as_str()) {
            names.push(cell.name.as_str());
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let mut text = format!("| {} |", table.title);
    text.extend(columns.iter().map(|column| format!(" {column} |")));
    text += &format!("\n|---|{}\n", "--:|".repeat(columns.len()));
    for name in names {
        text += &format!("| {name} |");
        for column in &columns {
            let mut cells = table.cells.iter();
            let cell = cells.find(|cell| {
                cell.name == name && cell.column.as_deref().unwrap_or_default() == *column
            });
            let cell = cell.map(|cell| with_unit(cell.value, &cell.unit));
            text += &format!(" {} |", cell.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Cell;

    #[test]
    fn rows_of_the_same_name_are_one_line() {
        let cell = |name: &str, column: Option<&str>, value| Cell {
            name: name.to_owned(),
            column: column.map(str::to_owned),
            value,
            unit: "ms".to_owned(),
        };
        let table = Table {
            title: "Sweep".to_owned(),
            cells: vec![
                cell("find", Some("ext4"), 1.0),
                cell("find", Some("tmpfs"), 2.0),
                cell("sweep", Some("tmpfs"), 3.5),
            ],
        };
        let expected = "| Sweep | ext4 | tmpfs |\n|---|--:|--:|\n\
                        | find | 1 ms | 2 ms |\n| sweep |  | 3.50 ms |\n";
        assert_eq!(pivot(&table), expected);
    }

    #[test]
    fn a_small_factor_has_one_decimal() {
        for (factor, expected) in [(0.082, "0.1"), (0.68, "0.7"), (1.0, "1.0"), (4.13, "4")] {
            assert_eq!(in_short(factor), expected);
        }
    }
}
