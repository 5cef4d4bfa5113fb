#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arrivals;
mod chart;
mod compare;
mod cpu;
mod dice;
mod drive;
mod error;
mod keys;
mod mix;
mod pace;
mod page;
mod plan;
mod processes;
mod record;
mod records;
mod results;
mod session;
mod target;
#[cfg(test)]
mod tests;

pub use arrivals::Schedule;
pub use compare::{Difference, Ratio, compare};
pub use cpu::{CpuUse, Meter, Reading};
pub use dice::Dice;
pub use error::{Error, Result};
pub use keys::{Pattern, key};
pub use mix::{Action, Mix};
pub use page::html;
pub use plan::{Arrivals, Contexts, Pace, Plan, ValueSize};
pub use processes::Processes;
pub use record::Progress;
pub use results::{ActionResult, Distribution, FailureCount, Results, RunResult, Window};
pub use session::{Run, Session};
pub use target::{Failure, FailureKind, Seen, Target};
