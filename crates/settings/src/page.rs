use std::fmt::Write;

use crate::{Kind, Schema, Setting};

impl Schema {
    /// The reference of all settings in Markdown: a table a section. Equal for equal code, so that a test can compare it
    /// with the page that is kept.
    pub fn to_markdown(&self) -> String {
        let mut page = String::new();
        for (at, setting) in self.settings().iter().enumerate() {
            // Writing to a string does not fail.
            if let Some(section) = &setting.section {
                let _ = write!(page, "\n## {section}\n\n{HEADING}");
            } else if at == 0 {
                page.push_str(HEADING);
            }
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                setting.key,
                default(setting),
                cell(&values(&setting.kind)),
                cell(&meaning(setting)),
            );
        }
        page
    }
}

fn default(setting: &Setting) -> String {
    match &setting.default {
        None => "not set".to_owned(),
        Some(toml::Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(value) => format!("`{value}`").replace('"', ""),
    }
}

fn values(kind: &Kind) -> String {
    match kind {
        Kind::Choice(words) => {
            let words = words.iter().map(|choice| format!("`{}`", choice.word));
            words.collect::<Vec<_>>().join(", ")
        }
        kind => kind.to_string(),
    }
}

fn meaning(setting: &Setting) -> String {
    let mut meaning = setting.meaning.clone();
    if let Kind::Choice(words) = &setting.kind {
        for choice in words.iter().filter(|choice| !choice.meaning.is_empty()) {
            // Writing to a string does not fail.
            let _ = write!(meaning, " `{}`: {}", choice.word, choice.meaning);
        }
    }
    meaning
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const HEADING: &str = "| setting | default | values | meaning |\n|---|---|---|---|\n";
