//! Prints what the benches measured last as a table in Markdown: the mean of each, and in brackets the quotient by ours.
//!
//! `cargo run -p dynamokv-benches --example table dynamokv` for the clocks, `… table partitions` for the ring, after
//! `cargo bench`.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Deserialize;

fn main() -> Result<(), Box<dyn Error>> {
    let ours = env::args().nth(1).ok_or("which column is ours?")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let mut rows: BTreeMap<Row, BTreeMap<String, f64>> = BTreeMap::new();
    collect(&target.join("criterion"), &mut rows)?;
    rows.retain(|_, times| times.contains_key(&ours));
    print(&ours, &rows);
    Ok(())
}

fn print(ours: &str, rows: &BTreeMap<Row, BTreeMap<String, f64>>) {
    let others: BTreeSet<&String> = rows.values().flat_map(BTreeMap::keys).collect();
    let others = || others.iter().filter(|column| **column != ours);
    let heads: String = others().map(|column| format!(" {column} |")).collect();
    println!("| | | {ours} |{heads}");
    println!("|---|--:|--:|{}", "--:|".repeat(others().count()));
    for ((group, _, size), times) in rows {
        let ours = times[ours];
        let cell = |column: &&String| match times.get(*column) {
            Some(time) => format!(" {} ({:.2}) |", readable(*time), time / ours),
            None => " |".to_owned(),
        };
        let cells: String = others().map(cell).collect();
        println!("| {group} | {size} | {} |{cells}", readable(ours));
    }
}

fn readable(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n => (n / 1e6, "ms"),
    };
    let digits = if value < 10.0 { 1 } else { 0 };
    format!("{value:.digits$} {unit}")
}

/// Group and size, in the order of the numbers.
type Row = (String, u64, String);

/// What criterion left of its last run, in folders named after groups, functions and sizes.
fn collect(
    folder: &Path,
    rows: &mut BTreeMap<Row, BTreeMap<String, f64>>,
) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("new") {
            let id: Id = serde_json::from_reader(open(&path.join("benchmark.json"))?)?;
            let estimates: Estimates =
                serde_json::from_reader(open(&path.join("estimates.json"))?)?;
            let size = id.value_str.unwrap_or_default();
            let row = (id.group_id, size.parse().unwrap_or(u64::MAX), size);
            let column = id.function_id.unwrap_or_default();
            let times = rows.entry(row).or_default();
            times.insert(column, estimates.mean.point_estimate);
        } else if path.is_dir() {
            collect(&path, rows)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<io::BufReader<fs::File>> {
    fs::File::open(path).map(io::BufReader::new)
}

#[derive(Deserialize)]
struct Id {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    mean: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}
