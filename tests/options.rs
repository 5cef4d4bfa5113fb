//! The options of the node example: cargo runs no tests of examples, so theirs are run from here.

#[path = "../examples/node/options.rs"]
mod options;
