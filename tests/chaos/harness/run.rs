//! One accident from a fresh cluster to rest, and the verdict.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::accident::Accident;
use super::checker::check;
use super::cluster::{Cluster, Setting};
use super::history::History;
use super::load::{Counts, Load};
use super::rest::{Agreed, rest};
use crate::support::dice::Dice;

/// From the end of the fault: by then all replicas are equal and nothing is left over.
const REST_MAX: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    pub accident: Accident,
    pub counts: Counts,
    pub keys: usize,
    pub siblings_max: usize,
    /// From the first blow to the end of the fault.
    pub fault: Duration,
    /// From the end of the fault to rest.
    pub rest: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            acknowledged,
            refused,
            unknown,
            reads,
            failed_reads,
        } = self.counts;
        write!(
            f,
            "{:18} fault {:5.1} s, at rest {:4.1} s later; {acknowledged} writes acknowledged, {refused} refused, {unknown} \
             unknown, {reads} reads ({failed_reads} failed), {} keys, {} siblings at most",
            self.accident.name(),
            self.fault.as_secs_f64(),
            self.rest.as_secs_f64(),
            self.keys,
            self.siblings_max,
        )
    }
}

/// Makes the accident happen and checks all promises. It lasts for so long; where it takes the time that it needs,
/// so much time is given to the load before, to write what is then to be moved.
///
/// # Panics
/// When one was broken.
pub async fn run(accident: Accident, lasts: Duration, mut dice: Dice) -> Report {
    let mut options = OPTIONS.map(str::to_owned).to_vec();
    if dice.one_in(2) {
        options.push(FEW_HINTS.to_owned());
    }
    let setting = Setting {
        gates: accident == Accident::Partition,
        options,
    };
    let mut cluster = Cluster::start(accident.size(), setting).await;
    let load = Load::start(&cluster.directory(), &mut dice);
    tokio::time::sleep(Duration::from_millis(500) + dice.moment(500)).await;
    if !accident.has_length() {
        tokio::time::sleep(lasts).await;
    }
    let began = Instant::now();
    accident.strike(&mut cluster, lasts, &mut dice).await;
    let ended = Instant::now();
    // Writes of the time after it are hard to tell from those before.
    tokio::time::sleep(dice.moment(1_000)).await;
    let (history, counts) = load.stop().await;
    cluster.settle().await;
    let keys: BTreeSet<String> = history.keys().keys().cloned().collect();
    let agreed = rest(&cluster, &keys, ended + REST_MAX).await;
    let report = Report {
        accident,
        counts,
        keys: keys.len(),
        siblings_max: agreed.values().map(BTreeSet::len).max().unwrap_or(0),
        fault: ended - began,
        rest: ended.elapsed(),
    };
    judge(&history, &agreed);
    for node in cluster.running() {
        assert_eq!(
            strange_files(&cluster.data_folder(node)),
            Vec::<String>::new()
        );
    }
    assert!(counts.acknowledged > 100, "too little was done: {report}");
    report
}

const OPTIONS: [&str; 2] = ["--gossip-interval-ms=200", "--partitions=64"];
/// So few that whole ranges are held.
const FEW_HINTS: &str = "--hints-max=20";

fn judge(history: &History, agreed: &Agreed) {
    let violations: Vec<String> = history
        .keys()
        .iter()
        .flat_map(|(key, history)| {
            let violations = check(history, &agreed[key]);
            let told = move |violation| {
                format!(
                    "{key}: {violation}; {:?} are there of {history:?}",
                    agreed[key]
                )
            };
            violations.into_iter().map(told)
        })
        .collect();
    assert!(
        violations.is_empty(),
        "{} broken promises: {:#?}",
        violations.len(),
        &violations[..violations.len().min(3)]
    );
}

/// Files in a data directory that are none of the store's own.
fn strange_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !is_of_store(name)).collect()
}

fn is_of_store(name: &str) -> bool {
    let ends = [".sst", ".log"].iter().any(|end| name.ends_with(end));
    let begins = ["MANIFEST-", "OPTIONS-", "LOG"];
    let temporary = name.ends_with("dbtmp");
    let begins = begins.iter().any(|begin| name.starts_with(begin)) && !temporary;
    ends || begins || ["CURRENT", "IDENTITY", "LOCK"].contains(&name)
}
