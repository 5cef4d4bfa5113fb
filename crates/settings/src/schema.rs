use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::{Invalid, Kind};

/// A struct of settings: each field one setting, its doc comment what it means, `#[schemars(range(...))]` and
/// `#[schemars(length(...))]` its limits, `#[schemars(extend("x-section" = "..."))]` the beginning of a section.
///
/// Fields are text, words (a unit enum), numbers, booleans, lists of text, or options of these. The struct has
/// `#[serde(default, rename_all = "kebab-case")]`.
pub trait Settings: Default + Serialize + DeserializeOwned + JsonSchema {
    /// Begins the names of the environment variables, without the underscore after it.
    const VARIABLES: &'static str;

    /// Further names of flags: the setting, and the other name of its flag.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Checks what no limit of a single setting can say.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// All settings of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name in the file; with two dashes before it, its flag.
    pub key: String,
    /// Its environment variable.
    pub variable: String,
    /// Another name of its flag.
    pub alias: Option<&'static str>,
    /// What it can be.
    pub kind: Kind,
    /// What it is where nobody says anything; `None` if it is not set then.
    pub default: Option<Value>,
    /// What it means: one or more sentences.
    pub meaning: String,
    /// The section of the documentation that it begins, if it begins one.
    pub section: Option<String>,
}

impl Schema {
    /// The settings of `T`, in the order of its fields. Fields that are no [`Kind`] of setting are left out: the
    /// function [`untold`](Self::untold) names them, for a test. O(fields).
    pub fn of<T: Settings>() -> Self {
        let properties = properties::<T>();
        let defaults = Table::try_from(T::default()).unwrap_or_default();
        let setting = |(key, property): (&String, &Json)| {
            let text = |name: &str| Some(property.get(name)?.as_str()?.to_owned());
            let alias = T::ALIASES.iter().find(|(of, _)| of == key);
            Some(Setting {
                variable: format!("{}_{}", T::VARIABLES, key.to_uppercase().replace('-', "_")),
                alias: alias.map(|(_, alias)| *alias),
                kind: Kind::of_schema(property)?,
                default: defaults.get(key).cloned(),
                meaning: one_line(&text("description").unwrap_or_default()),
                section: text("x-section"),
                key: key.clone(),
            })
        };
        Self {
            settings: properties.iter().filter_map(setting).collect(),
        }
    }

    /// The fields of `T` that are no settings, since no [`Kind`] fits them.
    pub fn untold<T: Settings>() -> Vec<String> {
        let no_kind = |(_, property): &(&String, &Json)| Kind::of_schema(property).is_none();
        let properties = properties::<T>();
        let untold = properties.iter().filter(no_kind);
        untold.map(|(key, _)| key.clone()).collect()
    }

    /// The settings, in the order of the fields.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The setting of that name. O(settings).
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The setting whose name is closest to `key`, if one is close enough to be meant.
    pub fn nearest(&self, key: &str) -> Option<&str> {
        let key = key.to_lowercase().replace('_', "-");
        let names = self.settings.iter().map(|setting| setting.key.as_str());
        let closeness = |name: &str| strsim::jaro_winkler(name, &key);
        names
            .max_by(|a, b| closeness(a).total_cmp(&closeness(b)))
            .filter(|name| closeness(name) >= CLOSE)
    }

    /// Checks the settings of `of` against their limits, and those against each other.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check<T: Settings>(&self, of: &T) -> Result<(), Invalid> {
        let table = Table::try_from(of).map_err(|error| {
            Invalid::new("(all)", format!("cannot be written as TOML: {error}"))
        })?;
        for setting in &self.settings {
            if let Some(value) = table.get(&setting.key) {
                setting.accept(value.clone())?;
            }
        }
        of.check()
    }
}

impl Setting {
    /// Takes `value` if it is within the limits.
    pub(crate) fn accept(&self, value: Value) -> Result<Value, Invalid> {
        self.kind
            .check(value)
            .map_err(|reason| Invalid::new(&self.key, reason))
    }

    /// Its flag, dashes included.
    pub fn flag(&self) -> String {
        format!("--{}", self.key)
    }
}

fn properties<T: JsonSchema>() -> serde_json::Map<String, Json> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    match schema.remove("properties") {
        Some(Json::Object(properties)) => properties,
        _ => serde_json::Map::new(),
    }
}

/// Lines of a doc comment, wrapped for the source, are one text to readers.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Of the similarity by Jaro and Winkler, in 0..=1: what a slip of the pen leaves.
const CLOSE: f64 = 0.8;
