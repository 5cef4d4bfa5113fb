//! The instructions that the hot paths take, counted by callgrind, beside those that were accepted. benches/instructions.sh runs it.
//!
//! `instructions check FILE` fails if a path takes 5 % more or less than the file says, is new, or is gone; `instructions accept FILE`
//! writes what is counted; `instructions run PATH` only does what is counted.
#![forbid(unsafe_code)]

mod paths;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use crate::paths::PATHS;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;
/// Instructions by path.
type Counts = BTreeMap<String, u64>;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["run", path] => run(path)?,
        ["accept", file] => fs::write(file, text(&Accepted::new(counts()?))?)?,
        ["check", file] => {
            let accepted = toml::from_str(&fs::read_to_string(file)?)?;
            return Ok(check(&accepted, &counts()?));
        }
        _ => return Err("usage: instructions check|accept FILE".into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn run(name: &str) -> Result {
    let path = PATHS.iter().find(|(known, _)| *known == name);
    let (_, path) = path.ok_or_else(|| format!("{name:?} is no path"))?;
    path()
}

// -- Counting

fn counts() -> Result<Counts> {
    let each = PATHS.iter();
    each.map(|(name, _)| Ok(((*name).to_owned(), count(name)?)))
        .collect()
}

/// Runs one path, in a process of its own, under the profiler.
fn count(name: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*counted_path*"])
        .arg(std::env::current_exe()?)
        .args(["run", name])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(count) if output.status.success() && count > 0 => Ok(count),
        _ => Err(format!("{name}: nothing was counted: {said}").into()),
    }
}

/// The sum that the profiler tells at its end.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected : ")?;
    rest.split_whitespace().next()?.parse().ok()
}

// -- Comparing

/// What was accepted, as the file has it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    /// Counts of other processors cannot be compared.
    processor: String,
    instructions: Counts,
}

impl Accepted {
    fn new(instructions: Counts) -> Self {
        Self {
            processor: std::env::consts::ARCH.to_owned(),
            instructions,
        }
    }
}

fn text(accepted: &Accepted) -> Result<String> {
    Ok(HEAD.to_owned() + &toml::to_string(accepted)?)
}

fn check(accepted: &Accepted, counted: &Counts) -> ExitCode {
    for (path, count) in counted {
        let before = accepted.instructions.get(path);
        let change = before.map_or(String::new(), |before| {
            format!("{:+.2} %", (*count as f64 / *before as f64 - 1.0) * 100.0)
        });
        println!("{path:16} {count:>12} {change:>12}");
    }
    if accepted.processor != std::env::consts::ARCH {
        let processor = &accepted.processor;
        println!("the accepted counts are those of {processor}: nothing to compare with here");
        return ExitCode::SUCCESS;
    }
    let differences = differences(&accepted.instructions, counted);
    if differences.is_empty() {
        return ExitCode::SUCCESS;
    }
    for line in differences {
        eprintln!("{line}");
    }
    eprintln!(
        "if it must be so: `benches/instructions.sh accept`, in the commit that makes the change"
    );
    ExitCode::FAILURE
}

/// What must be acknowledged.
fn differences(accepted: &Counts, counted: &Counts) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, count) in counted {
        match accepted.get(path) {
            None => lines.push(format!("{path}: is new, with {count} instructions")),
            Some(before) if count.abs_diff(*before) * 100 > before * TOLERANCE_PERCENT => {
                lines.push(format!(
                    "{path}: {count} instructions, {before} were accepted"
                ));
            }
            Some(_) => {}
        }
    }
    let gone = accepted.keys().filter(|path| !counted.contains_key(*path));
    lines.extend(gone.map(|path| format!("{path}: is not counted any more")));
    lines
}

const TOLERANCE_PERCENT: u64 = 5;
const HEAD: &str =
    "# Instructions of 100 rounds of each hot path, written by `benches/instructions.sh accept`.\n";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, u64)]) -> Counts {
        let each = counts.iter();
        each.map(|(path, count)| ((*path).to_owned(), *count))
            .collect()
    }

    #[test]
    fn up_to_a_twentieth_more_or_less_is_no_difference() {
        let accepted = of(&[("join", 10_000)]);
        for count in [9_500, 10_000, 10_500] {
            let lines = differences(&accepted, &of(&[("join", count)]));
            assert_eq!(lines, [""; 0], "{count}");
        }
        for count in [0, 9_499, 10_501, 20_000] {
            let lines = differences(&accepted, &of(&[("join", count)]));
            assert_eq!(
                lines,
                [format!("join: {count} instructions, 10000 were accepted")]
            );
        }
    }

    #[test]
    fn paths_that_come_or_go_are_differences() {
        let lines = differences(&of(&[("a", 1)]), &of(&[("b", 2)]));
        assert_eq!(
            lines,
            [
                "b: is new, with 2 instructions",
                "a: is not counted any more"
            ]
        );
    }

    #[test]
    fn what_was_accepted_is_read_back() {
        let accepted = Accepted::new(of(&[("a", 1), ("b b", u64::from(u32::MAX) + 1)]));
        let read: Accepted = toml::from_str(&text(&accepted).unwrap()).unwrap();
        assert_eq!(read, accepted);
    }

    #[test]
    fn the_sum_is_found_in_what_the_profiler_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 6125\n==7== \n";
        assert_eq!(collected(said), Some(6_125));
        assert_eq!(collected("==7== Collected :"), None);
        assert_eq!(collected(""), None);
    }

    #[test]
    fn every_path_can_be_taken() {
        for (name, _) in PATHS {
            run(name).unwrap();
        }
        assert!(run("no such path").is_err());
    }
}
