use std::collections::BTreeMap;
use std::fmt;

use toml::Table;

use crate::{Origin, Schema, Settings};

/// Settings that were put together from all sources. Its text form is a TOML file that says the same, with the origin of
/// each value beside it.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings, checked.
    pub settings: T,
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) schema: Schema,
}

impl<T: Settings> Loaded<T> {
    /// Where the value of a setting comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

impl<T: Settings> fmt::Display for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = Table::try_from(&self.settings).map_err(|_| fmt::Error)?;
        let lines: Vec<_> = self
            .schema
            .settings()
            .iter()
            .map(|setting| {
                let said = match table.get(&setting.key) {
                    Some(value) => format!("{} = {value}", setting.key),
                    None => format!("# {} is not set", setting.key),
                };
                (said, self.origin(&setting.key))
            })
            .collect();
        let width = lines.iter().map(|(said, _)| said.chars().count()).max();
        let width = width.unwrap_or(0).min(WIDTH_MAX);
        for (said, origin) in lines {
            writeln!(f, "{said:width$}  # {origin}")?;
        }
        Ok(())
    }
}

/// One long value does not push all origins out of sight.
const WIDTH_MAX: usize = 48;
