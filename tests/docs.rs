//! What the documentation says of the code is what the code says of itself.
#![allow(clippy::unwrap_used)]

use dynamokv::gossip::{Reads, Stage, Writes};

fn row(stage: Option<Stage>) -> String {
    let writes = match Stage::writes_to(stage) {
        Writes::Current => "current",
        Writes::Both => "both",
        Writes::Next => "next",
    };
    let reads = match Stage::reads_from(stage) {
        Reads::Current => "current",
        Reads::Next => "next",
    };
    let Some(stage) = stage else {
        return format!("| (none) | | {writes} | {reads} | | |");
    };
    let before = stage
        .before()
        .map_or(String::new(), |before| before.to_string());
    let (duty, invariant) = (stage.duty(), stage.invariant());
    format!("| {stage} | {duty} | {writes} | {reads} | {before} | {invariant} |")
}

#[test]
fn the_table_of_stages_is_that_of_the_code() {
    let page = std::fs::read_to_string("docs/membership-changes.md").unwrap();
    let rows = std::iter::once(None).chain(Stage::ALL.map(Some)).map(row);
    let rows = rows.collect::<Vec<_>>().join("\n");
    assert!(
        page.contains(&rows),
        "the page must have these rows:\n{rows}"
    );
}
