//! Where answers go: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Cell, Color, Table, presets};
use serde::Serialize;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    #[default]
    Table,
    /// One JSON document, of the shape that docs/cli.md shows
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Colours {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// An answer that can be shown. Its serialisation is the documented JSON shape.
pub(crate) trait View: Serialize {
    /// For people, with a line break at its end.
    fn human(&self, ink: Ink) -> String;
}

/// What colours say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Of less interest.
    Dim,
    /// Neither.
    Plain,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ink {
    pub(crate) colours: bool,
}

impl Ink {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { colours: false };

    /// A text in the colour of its mood.
    pub(crate) fn paint(self, mood: Mood, text: &str) -> String {
        let Some(colour) = mood.ansi().filter(|_| self.colours) else {
            return text.to_owned();
        };
        let style = anstyle::Style::new().fg_color(Some(colour.into()));
        format!("{style}{text}{style:#}")
    }

    /// A table with such columns.
    pub(crate) fn table(self, columns: &[&str]) -> Table {
        let mut table = self.grid();
        table.set_header(columns.iter().map(|name| self.cell(Mood::Dim, name)));
        table
    }

    /// A table without a header.
    pub(crate) fn grid(self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.colours {
            // Padding stays plain, so that lines can be trimmed.
            table.enforce_styling().style_text_only();
        } else {
            table.force_no_tty();
        }
        table
    }

    /// A cell in the colour of its mood.
    pub(crate) fn cell(self, mood: Mood, text: impl ToString) -> Cell {
        let cell = Cell::new(text);
        match mood {
            Mood::Plain => cell,
            Mood::Good => cell.fg(Color::Green),
            Mood::Warn => cell.fg(Color::Yellow),
            Mood::Bad => cell.fg(Color::Red),
            Mood::Dim => cell.fg(Color::DarkGrey),
        }
    }
}

impl Mood {
    fn ansi(self) -> Option<anstyle::AnsiColor> {
        match self {
            Self::Plain => None,
            Self::Good => Some(anstyle::AnsiColor::Green),
            Self::Warn => Some(anstyle::AnsiColor::Yellow),
            Self::Bad => Some(anstyle::AnsiColor::Red),
            Self::Dim => Some(anstyle::AnsiColor::BrightBlack),
        }
    }
}

/// The lines of a table, without trailing blanks.
pub(crate) fn lines(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Standard output and standard error, and what was asked of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) format: Format,
    /// Of standard output.
    pub(crate) ink: Ink,
    /// Of standard error.
    pub(crate) error_ink: Ink,
    /// Whether somebody can be asked, and looks on.
    pub(crate) attended: bool,
}

impl Screen {
    pub(crate) fn new(format: Format, colours: Colours) -> Self {
        let ink = |automatic: anstream::ColorChoice| Ink {
            colours: match colours {
                Colours::Always => true,
                Colours::Never => false,
                Colours::Auto => automatic != anstream::ColorChoice::Never,
            },
        };
        Self {
            format,
            ink: ink(anstream::AutoStream::choice(&io::stdout())),
            error_ink: ink(anstream::AutoStream::choice(&io::stderr())),
            attended: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Writes an answer.
    pub(crate) fn show(&self, view: &impl View) -> io::Result<()> {
        let text = self.text(view)?;
        self.write(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// An answer as it is written.
    pub(crate) fn text(&self, view: &impl View) -> io::Result<String> {
        Ok(match self.format {
            Format::Table => view.human(self.ink),
            Format::Json => json(view)?,
        })
    }
}

/// An answer as JSON, with a line break at its end.
pub(crate) fn json(view: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(view)? + "\n")
}
