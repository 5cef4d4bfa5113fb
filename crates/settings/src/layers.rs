use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeTable;
use toml::{Table, Value};

use crate::{Error, Invalid, Loaded, Origin, Schema, Setting, Settings};

/// What file, environment and flags say, later ones over earlier ones.
#[derive(Debug, Clone)]
pub struct Layers {
    schema: Schema,
    said: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// Nothing said yet about the settings of `T`.
    pub fn of<T: Settings>() -> Self {
        Self {
            schema: Schema::of::<T>(),
            said: BTreeMap::new(),
        }
    }

    /// Adds the text of a TOML file; `path` is what its values are said to come from.
    ///
    /// # Errors
    /// No TOML, an unknown key, a value out of its limits.
    pub fn file(mut self, path: &Path, text: &str) -> Result<Self, Error> {
        let syntax = |reason: toml::de::Error| Error::Syntax {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let table: Table = toml::from_str(text).map_err(syntax)?;
        let spans = DeTable::parse(text).map_err(syntax)?;
        let line_of: BTreeMap<&str, usize> = spans
            .get_ref()
            .keys()
            .map(|key| (key.get_ref().as_ref(), line_at(text, key.span().start)))
            .collect();
        for (key, value) in table {
            let origin = Origin::File {
                path: path.to_owned(),
                line: line_of.get(key.as_str()).copied().unwrap_or(1),
            };
            let Some(setting) = self.schema.get(&key) else {
                let nearest = self.schema.nearest(&key).map(str::to_owned);
                return Err(Error::Unknown {
                    key,
                    origin,
                    nearest,
                });
            };
            let value = setting.accept(value).map_err(from(&origin))?;
            self.said.insert(key, (value, origin));
        }
        Ok(self)
    }

    /// Adds the environment, as `variable` tells it. A variable that is empty counts as not set.
    ///
    /// # Errors
    /// A value that cannot be read or is out of its limits.
    pub fn environment(self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        self.texts(|setting| {
            let text = variable(&setting.variable).filter(|text| !text.is_empty())?;
            let origin = Origin::Environment {
                variable: setting.variable.clone(),
            };
            Some((text, origin))
        })
    }

    /// Adds the flags, as `flag` tells them by key.
    ///
    /// # Errors
    /// A value that cannot be read or is out of its limits.
    pub fn flags(self, flag: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        self.texts(|setting| {
            let origin = Origin::Flag {
                flag: setting.flag(),
            };
            Some((flag(&setting.key)?, origin))
        })
    }

    fn texts(mut self, told: impl Fn(&Setting) -> Option<(String, Origin)>) -> Result<Self, Error> {
        for setting in self.schema.settings() {
            let Some((text, origin)) = told(setting) else {
                continue;
            };
            let read = setting.kind.parse(&text);
            let value = read
                .map_err(|reason| Invalid::new(&setting.key, reason))
                .and_then(|value| setting.accept(value))
                .map_err(from(&origin))?;
            self.said.insert(setting.key.clone(), (value, origin));
        }
        Ok(self)
    }

    /// The settings that result.
    ///
    /// # Errors
    /// Settings that do not go together.
    pub fn resolve<T: Settings>(self) -> Result<Loaded<T>, Error> {
        let origin_of = |key: &str| match self.said.get(key) {
            Some((_, origin)) => origin.clone(),
            None => Origin::Default,
        };
        let table: Table = self
            .said
            .iter()
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect();
        let refused = |invalid: Invalid| Error::Invalid {
            origin: origin_of(&invalid.key),
            invalid,
        };
        // What the schema lets pass and the type does not is named without its key.
        let settings: T = table.try_into().map_err(|error: toml::de::Error| {
            refused(Invalid::new("(all)", error.message().to_owned()))
        })?;
        self.schema.check(&settings).map_err(refused)?;
        Ok(Loaded {
            settings,
            origins: self
                .said
                .into_iter()
                .map(|(key, (_, from))| (key, from))
                .collect(),
            schema: self.schema,
        })
    }
}

fn from(origin: &Origin) -> impl FnOnce(Invalid) -> Error {
    |invalid| Error::Invalid {
        invalid,
        origin: origin.clone(),
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
