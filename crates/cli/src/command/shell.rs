//! Completions and manual pages.

use std::path::Path;

use clap_complete::Shell;

use super::shown;
use crate::command_line;
use crate::error::{Error, Result};
use crate::output::Screen;

pub(super) fn completions(shell: Shell, screen: &Screen) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "dynamokv", &mut script);
    shown(screen.write(&script))
}

pub(super) fn manual(folder: &Path, screen: &Screen) -> Result<()> {
    let failed = || Error::io(folder.display());
    std::fs::create_dir_all(folder).map_err(failed())?;
    clap_mangen::generate_to(command_line(), folder).map_err(failed())?;
    let said = format!("the manual pages are in {}\n", folder.display());
    shown(screen.write(said.as_bytes()))
}
