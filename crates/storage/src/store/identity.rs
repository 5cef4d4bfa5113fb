use super::meta::{self, Owner};
use crate::engine::{Batch, Engine};
use crate::{Error, Result};

/// The version of the store's layout that this release writes.
const FORMAT: u64 = 1;

const FORMAT_ENTRY: &str = "format";
const NODE_ENTRY: &str = "node";
const GENERATION_ENTRY: &str = "generation";
const INCARNATION_ENTRY: &str = "incarnation";
const CLEAN_ENTRY: &str = "clean-stop";

/// What a store found when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Nothing: it is new.
    Fresh,
    /// What a clean close left.
    Clean,
    /// What a crash left: unsynced writes may be missing, and all issuing positions are void.
    Unclean,
}

/// The facts that change at each opening.
pub(super) struct Identity {
    pub(super) opened: Opened,
    pub(super) generation: u64,
    /// Positions written in another incarnation are void.
    pub(super) incarnation: u64,
}

/// The node that the store in `engine` belongs to, if there is one.
pub(super) fn owner(engine: &dyn Engine) -> Result<Option<u64>> {
    meta::read_number(engine, NODE_ENTRY)
}

/// Reads the identity and stages its successor, and the removal of the clean stop's mark, into `batch`, which
/// must be durable before the store is used.
pub(super) fn advance(engine: &dyn Engine, node: u64, batch: &mut Batch) -> Result<Identity> {
    let format = meta::read_number(engine, FORMAT_ENTRY)?;
    if let Some(found) = format.filter(|format| *format > FORMAT) {
        return Err(Error::NewerFormat {
            found,
            supported: FORMAT,
        });
    }
    if let Some(found) = owner(engine)?.filter(|owner| *owner != node) {
        return Err(Error::ForeignNode { found, given: node });
    }
    let opened = match (format, meta::read(engine, Owner::Store, CLEAN_ENTRY)?) {
        (None, _) => Opened::Fresh,
        (Some(_), Some(_)) => Opened::Clean,
        (Some(_), None) => Opened::Unclean,
    };
    let generation = meta::read_number(engine, GENERATION_ENTRY)?.unwrap_or(0) + 1;
    let found = meta::read_number(engine, INCARNATION_ENTRY)?.unwrap_or(0);
    let incarnation = if opened == Opened::Clean {
        found
    } else {
        found + 1
    };

    meta::stage_number(batch, FORMAT_ENTRY, FORMAT);
    meta::stage_number(batch, NODE_ENTRY, node);
    stage_generation(batch, generation);
    stage_incarnation(batch, incarnation);
    meta::stage_removal(batch, Owner::Store, CLEAN_ENTRY);
    Ok(Identity {
        opened,
        generation,
        incarnation,
    })
}

pub(super) fn stage_generation(batch: &mut Batch, generation: u64) {
    meta::stage_number(batch, GENERATION_ENTRY, generation);
}

pub(super) fn stage_incarnation(batch: &mut Batch, incarnation: u64) {
    meta::stage_number(batch, INCARNATION_ENTRY, incarnation);
}

pub(super) fn stage_clean_stop(batch: &mut Batch) {
    meta::stage(batch, Owner::Store, CLEAN_ENTRY, &[]);
}
