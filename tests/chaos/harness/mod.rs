//! Accidents that happen to real node processes under load, and the verdict on what is left.

pub mod accident;
mod checker;
mod cluster;
mod history;
mod load;
mod network;
mod origin;
mod rest;
pub mod run;
