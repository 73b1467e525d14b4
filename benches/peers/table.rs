//! What was measured, as a table: medians over the rounds, and ratios to what else ran in them. Who is missing has a line, too.

use std::collections::BTreeMap;

use super::{Measured, Run};

/// Whose, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    case: &'static str,
    client: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// In the order in which they came first.
    order: Vec<Row>,
    rows: BTreeMap<Row, (usize, Vec<Run>)>,
    /// Why there is nothing in a row.
    missing: BTreeMap<Row, String>,
}

/// The middle one of the rounds, each figure for itself.
#[derive(Debug, Clone, Copy)]
struct Median {
    iops: f64,
    /// Processor time per I/O, in microseconds.
    cpu: f64,
    calls: Option<f64>,
}

impl Table {
    pub(crate) fn add(&mut self, case: &'static str, client: &'static str, bytes: usize, measured: Measured) {
        let row = Row { case, client };
        if !self.rows.contains_key(&row) {
            self.order.push(row);
        }
        let (_, runs) = self.rows.entry(row).or_insert((bytes, Vec::new()));
        match measured {
            Ok(run) => runs.push(run),
            Err(why) => drop(self.missing.insert(row, why)),
        }
    }

    fn median(&self, row: &Row) -> Option<Median> {
        let (_, runs) = self.rows.get(row).filter(|(_, runs)| !runs.is_empty())?;
        Some(Median {
            iops: middle(runs.iter().map(|run| run.done / run.seconds)),
            cpu: middle(runs.iter().map(|run| run.cpu * 1e6 / run.done)),
            calls: runs.iter().map(|run| Some(run.calls? / run.done)).collect::<Option<Vec<_>>>().map(middle),
        })
    }

    /// Prints it as Markdown.
    pub(crate) fn print(&self) {
        println!("| | client | I/Os per s | MB/s | CPU µs per I/O | system calls per I/O | ours is |");
        println!("|---|---|---|---|---|---|---|");
        for row in &self.order {
            let (Some(median), Some((bytes, _))) = (self.median(row), self.rows.get(row)) else {
                let why = self.missing.get(row).map_or("", String::as_str);
                println!("| {} | {} | **missing**: {why} | | | | |", row.case, row.client);
                continue;
            };
            let ours = self.median(&Row { client: "ours", ..*row }).filter(|_| row.client != "ours");
            let ratio = ours.map_or(String::new(), |ours| {
                format!("{:.2} × as fast, {:.2} × its CPU", ours.iops / median.iops, ours.cpu / median.cpu)
            });
            println!(
                "| {} | {} | {:.0} | {:.0} | {:.2} | {} | {ratio} |",
                row.case,
                row.client,
                median.iops,
                median.iops * *bytes as f64 / 1e6,
                median.cpu,
                median.calls.map_or("?".into(), |calls| format!("{calls:.3}")),
            );
        }
    }
}

fn middle(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
