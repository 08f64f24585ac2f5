use crate::{
    figures::{Figures, Run, Table},
    number::{text, with_unit},
    series::Series,
};

/// The text for a benchmark that did not run.
pub(crate) const NOT_MEASURED: &str = "not measured";

const LADDER: &str = "overhead";
const PEERS: &str = "peers";

pub(crate) const BARE: &str = "bare";
pub(crate) const BARE_HTTP: &str = "bare, HTTP";
pub(crate) const OURS: &str = "ours, OTLP: span, metrics, logs";

/// Renders the rungs of `benches/overhead`.
pub(crate) fn ladder(figures: &Figures) -> String {
    let mut table = "| rung | median, ns | worst, ns | over bare, ns | over two clock reads | worst of these |\n\
                     |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for name in figures.names(LADDER) {
        let time = figures.series(|run| run.median(LADDER, name));
        let over_bare = figures.series(|run| over_bare(run, name));
        let reads = figures.series(|run| over_reads(run, name));
        let cell = |series: &Option<Series>, value: fn(&Series) -> f64, unit| {
            let value = series.as_ref().map(value);
            value.map_or_else(|| NOT_MEASURED.to_owned(), |value| with_unit(value, unit))
        };
        table += &format!(
            "| {name} | {} | {} | {} | {} | {} |\n",
            cell(&time, Series::median, ""),
            cell(&time, Series::worst, ""),
            cell(&over_bare, Series::median, ""),
            cell(&reads, Series::median, "×"),
            cell(&reads, Series::worst, "×"),
        );
    }
    table
}

/// Returns by how many nanoseconds a rung is above the bare service of the same run.
pub(crate) fn over_bare(run: &Run, rung: &str) -> Option<f64> {
    Some(run.median(LADDER, rung)? - run.median(LADDER, "bare service")?)
}

/// Returns how many times a rung takes as long as two clock reads of the same run.
pub(crate) fn over_reads(run: &Run, rung: &str) -> Option<f64> {
    Some(run.median(LADDER, rung)? / run.median(LADDER, "floor: two clock reads")?)
}

/// Renders the rungs of `benches/peers`, by the time that they add to their bare service.
pub(crate) fn peers(figures: &Figures) -> String {
    let mut table = "| around a ready service | adds, ns | worst, ns | relative to ours with OTLP | in all, ns |\n\
                     |---|--:|--:|--:|--:|\n"
        .to_owned();
    for (name, adds) in added(figures) {
        let (Some(relative), Some(all)) = (
            figures.series(|run| relative(run, name)),
            figures.series(|run| run.median(PEERS, name)),
        ) else {
            continue;
        };
        table += &format!(
            "| {name} | {} | {} | {} × | {} |\n",
            text(adds.median()),
            text(adds.worst()),
            text(relative.median()),
            text(all.median()),
        );
    }
    table
}

/// Renders the time that each peer adds, relative to ours with OTLP.
pub(crate) fn peers_in_short(figures: &Figures) -> String {
    let mut table = "| around a ready service | adds |\n|---|--:|\n".to_owned();
    for (name, _) in added(figures) {
        let Some(relative) = figures.series(|run| relative(run, name)) else {
            return format!("*{NOT_MEASURED}*");
        };
        table += &format!("| {name} | {} × |\n", in_short(relative.median()));
    }
    table
}

/// Formats a factor with one decimal if it is small, and without decimals otherwise.
fn in_short(factor: f64) -> String {
    let decimals = usize::from(factor < 1.95);
    format!("{factor:.decimals$}")
}

/// Returns the time that each peer adds to its bare service, in nanoseconds, smallest first.
pub(crate) fn added(figures: &Figures) -> Vec<(&str, Series)> {
    let names = figures.names(PEERS);
    let mut added: Vec<_> = names
        .filter(|name| *name != BARE && *name != BARE_HTTP)
        .filter_map(|name| Some((name, figures.series(|run| adds(run, name))?)))
        .collect();
    added.sort_by(|(_, one), (_, other)| one.median().total_cmp(&other.median()));
    added
}

/// Returns the time that a peer adds to its bare service in one run, in nanoseconds.
pub(crate) fn adds(run: &Run, peer: &str) -> Option<f64> {
    // The others are HTTP middleware.
    let is_call = peer.starts_with("ours") || peer.ends_with("by hand");
    let bare = if is_call { BARE } else { BARE_HTTP };
    Some(run.median(PEERS, peer)? - run.median(PEERS, bare)?)
}

/// Returns the time that a peer adds in one run, relative to ours with OTLP.
fn relative(run: &Run, peer: &str) -> Option<f64> {
    Some(adds(run, peer)? / adds(run, OURS)?)
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
