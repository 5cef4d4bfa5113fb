//! Flags made with clap, and loading from the real file and environment.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::{Error, Kind, Layers, Loaded, Schema, Setting, Settings};

/// Adds `--config FILE`, `--print-config`, and a flag for each setting of `T`.
pub fn flags<T: Settings>(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .env(format!("{}_CONFIG", T::VARIABLES))
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("TOML file whose keys are the names of the settings");
    let print = Arg::new(PRINT)
        .long(PRINT)
        .action(ArgAction::SetTrue)
        .help("Prints each setting with its origin, as TOML, and ends");
    let schema = Schema::of::<T>();
    let flags = schema.settings().iter().map(flag);
    command
        .after_help("A flag wins over its environment variable, and that over the file.")
        .arg(config)
        .arg(print)
        .args(flags)
}

/// The settings as file, environment and flags give them.
///
/// # Errors
/// Whatever cannot be read or used, with its origin.
pub fn load<T: Settings>(matches: &ArgMatches) -> Result<Loaded<T>, Error> {
    let mut layers = Layers::of::<T>();
    if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
        let text = std::fs::read_to_string(path).map_err(|reason| Error::Unreadable {
            path: path.clone(),
            reason,
        })?;
        layers = layers.file(path, &text)?;
    }
    layers
        .environment(|variable| std::env::var(variable).ok())?
        .flags(|key| {
            let texts = matches.get_many::<String>(key)?;
            Some(texts.cloned().collect::<Vec<_>>().join(","))
        })?
        .resolve()
}

/// Whether `--print-config` was given.
pub fn prints(matches: &ArgMatches) -> bool {
    matches.get_flag(PRINT)
}

fn flag(setting: &Setting) -> Arg {
    let default = match &setting.default {
        Some(toml::Value::String(text)) if text.is_empty() => String::new(),
        Some(toml::Value::Array(items)) if items.is_empty() => String::new(),
        Some(toml::Value::String(text)) => format!(" [default: {text}]"),
        Some(value) => format!(" [default: {value}]"),
        None => String::new(),
    };
    let arg = Arg::new(setting.key.clone())
        .long(setting.key.clone())
        .help(format!(
            "{}{default} [env: {}]",
            setting.meaning, setting.variable
        ));
    let arg = match setting.alias {
        Some(alias) => arg.visible_alias(alias),
        None => arg,
    };
    match &setting.kind {
        Kind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL"),
        Kind::List => arg.action(ArgAction::Append).value_name("LIST"),
        Kind::Integer { .. } | Kind::Float { .. } => arg.value_name("NUMBER"),
        Kind::Choice(words) => {
            let words = words.iter().map(|choice| choice.word.as_str());
            arg.value_name(words.collect::<Vec<_>>().join("|"))
        }
        Kind::Text { .. } => arg.value_name("TEXT"),
    }
}

const CONFIG: &str = "config";
const PRINT: &str = "print-config";
