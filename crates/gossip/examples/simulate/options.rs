//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
--nodes 10,100,1000     sizes of the clusters
--only NAMES            of fact, join, leave, crash, partition, mass-restart, rolling-upgrade, calm, paused, slow
--losses 0,5,20         of the losses, in percent, that a scenario is run under, only these
--seed 1                where all randomness comes from
--repeats 5             events of a kind in each cluster; the slowest is shown
--watch-seconds 600     virtual time in which false accusations are counted
--protocols ours        of ours, foca, chitchat
--plots FOLDER          where to write an SVG for each curve";

#[derive(Clone, Debug)]
pub struct Options {
    pub nodes: Vec<usize>,
    pub protocols: Vec<Choice>,
    pub only: Option<Vec<String>>,
    pub losses: Option<Vec<u64>>,
    pub seed: u64,
    pub repeats: usize,
    pub watch: Duration,
    pub plots: Option<PathBuf>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            nodes: vec![10, 100, 1000],
            protocols: vec![Choice::Ours],
            only: None,
            losses: None,
            seed: 1,
            repeats: 5,
            watch: Duration::from_secs(600),
            plots: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--nodes" => {
                    options.nodes = value.split(',').map(number).collect::<Result<_, _>>()?
                }
                "--protocols" => {
                    options.protocols = value
                        .split(',')
                        .map(Choice::parse)
                        .collect::<Result<_, _>>()?
                }
                "--only" => options.only = Some(value.split(',').map(str::to_owned).collect()),
                "--losses" => {
                    options.losses = Some(value.split(',').map(number).collect::<Result<_, _>>()?)
                }
                "--seed" => options.seed = number(&value)?,
                "--repeats" => options.repeats = number(&value)?,
                "--watch-seconds" => options.watch = Duration::from_secs(number(&value)?),
                "--plots" => options.plots = Some(value.into()),
                _ => return Err(format!("{name} is not known")),
            }
        }
        if options
            .nodes
            .iter()
            .any(|nodes| *nodes <= options.repeats + 3)
        {
            return Err("--nodes: more than --repeats and three others".to_owned());
        }
        Ok(options)
    }

    pub fn wants(&self, scenario: &str, loss_percent: u64) -> bool {
        let only = self.only.as_ref();
        let losses = self.losses.as_ref();
        only.is_none_or(|only| only.iter().any(|name| name == scenario))
            && losses.is_none_or(|losses| losses.contains(&loss_percent))
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number that fits"))
}

#[derive(Clone, Copy, Debug)]
pub enum Choice {
    Ours,
    Foca,
    Chitchat,
}

impl Choice {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "ours" => Ok(Choice::Ours),
            "foca" => Ok(Choice::Foca),
            "chitchat" => Ok(Choice::Chitchat),
            _ => Err(format!(
                "--protocols: {name} is none of ours, foca, chitchat"
            )),
        }
    }
}
