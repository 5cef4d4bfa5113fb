//! Accidents that happen to real node processes under load, and the verdict on what is left.

pub mod accident;
mod checker;
pub mod cluster;
pub mod history;
mod load;
mod network;
mod origin;
pub mod rest;
pub mod run;
