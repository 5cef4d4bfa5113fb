//! Membership in virtual time: how fast facts spread, how soon a crash is noticed, who is accused wrongly, what it costs.
//!
//! ```sh
//! cargo run --release -p dynamokv-gossip --example simulate -- --nodes 10,100,1000
//! ```
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod chitchat;
mod foca;
mod options;
mod ours;
mod plot;
mod protocol;
mod report;
mod scenarios;
mod world;

use options::Choice;

fn main() {
    let options = match options::Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let mut report = report::Report::default();
    for protocol in &options.protocols {
        match protocol {
            Choice::Ours => report.run::<ours::Ours>(&options),
            Choice::Foca => report.run::<foca::Foca>(&options),
            Choice::Chitchat => report.run::<chitchat::Chitchat>(&options),
        }
    }
    print!("{}", report.table());
    if let Some(folder) = &options.plots {
        plot::write_all(&report, folder).expect("the plots can be written");
    }
}
