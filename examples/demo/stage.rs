//! The narrator: says what is done and seen, checks the claims, keeps the score.

use std::fmt::{Debug, Display};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// A claim that does not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    claim: String,
    expected: String,
    seen: String,
}

impl Failure {
    pub(crate) fn new(claim: impl Display, expected: impl Display, seen: impl Display) -> Self {
        Self {
            claim: claim.to_string(),
            expected: expected.to_string(),
            seen: seen.to_string(),
        }
    }
}

/// What [`Stage::until`] sees where a call fails that may succeed a moment later.
impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        format!("not so: {} ({})", failure.claim, failure.seen)
    }
}

/// Tells the play and checks it.
pub(crate) struct Stage {
    scenes: Vec<Scene>,
    step: bool,
    colours: bool,
}

struct Scene {
    title: &'static str,
    begun: Option<Instant>,
    took: Duration,
    checks: usize,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    NotPlayed,
    Playing,
    Holds,
    Fails,
}

impl Stage {
    pub(crate) fn new(program: &[&'static str], step: bool) -> Self {
        let scene = |title: &&'static str| Scene {
            title,
            begun: None,
            took: Duration::ZERO,
            checks: 0,
            verdict: Verdict::NotPlayed,
        };
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            scenes: program.iter().map(scene).collect(),
            step,
            colours,
        }
    }

    pub(crate) fn prologue(&self, cast: &str) {
        self.line(&self.paint(Colour::Bold, "DynamoKV in five scenes"));
        self.block("", Colour::Plain, cast);
        self.block("", Colour::Plain, LEGEND);
    }

    /// Ends the scene before, if any, and opens the next one.
    pub(crate) async fn begin(&mut self, title: &str, idea: &str) {
        self.end(Verdict::Holds);
        if self.step
            && self
                .scenes
                .first()
                .is_some_and(|first| first.title != title)
        {
            self.line("\nPress Enter for the next scene.");
            wait_for_enter().await;
        }
        if let Some(scene) = self.scenes.iter_mut().find(|scene| scene.title == title) {
            (scene.begun, scene.verdict) = (Some(Instant::now()), Verdict::Playing);
        }
        let at = self
            .scenes
            .iter()
            .position(|scene| scene.title == title)
            .unwrap_or_default();
        self.line("");
        self.line(&self.paint(Colour::Bold, &format!("{}. {title}", letter(at))));
        self.block("", Colour::Plain, idea);
        self.line("");
    }

    /// Something is done.
    pub(crate) fn act(&self, text: impl Display) {
        self.block("do", Colour::Cyan, &text.to_string());
    }

    /// Something is seen.
    pub(crate) fn see(&self, text: impl Display) {
        self.block("see", Colour::Plain, &text.to_string());
    }

    /// The mechanism behind it.
    pub(crate) fn how(&self, text: impl Display) {
        self.block("how", Colour::Yellow, &text.to_string());
    }

    /// Checks that something is as expected.
    pub(crate) fn same<T: PartialEq + Debug>(
        &mut self,
        claim: impl Display,
        expected: T,
        seen: T,
    ) -> Result<(), Failure> {
        let holds = expected == seen;
        self.holds(
            claim,
            holds,
            format_args!("{expected:?}"),
            format_args!("{seen:?}"),
        )
    }

    /// Checks a claim; `expected` and `seen` are told if it does not hold.
    pub(crate) fn holds(
        &mut self,
        claim: impl Display,
        holds: bool,
        expected: impl Display,
        seen: impl Display,
    ) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::new(claim, expected, seen));
        }
        self.checked(&claim.to_string());
        Ok(())
    }

    /// Checks that something comes true in time: looks until `look` finds it, which says what it sees instead.
    pub(crate) async fn until<T>(
        &mut self,
        claim: impl Display,
        expected: impl Display,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        loop {
            match look().await {
                Ok(found) => {
                    let millis = begun.elapsed().as_millis();
                    self.checked(&format!("{claim} (after {millis} ms)"));
                    return Ok(found);
                }
                Err(seen) if begun.elapsed() > PATIENCE => {
                    let expected = format!("{expected}, within {} s", PATIENCE.as_secs());
                    return Err(Failure::new(claim, expected, seen));
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Tells how it ended; whether every scene holds.
    pub(crate) fn epilogue(mut self, played: Result<(), Failure>) -> bool {
        match played {
            Ok(()) => self.end(Verdict::Holds),
            Err(failure) => {
                self.block("FAIL", Colour::Red, &failure.claim);
                self.block(
                    "",
                    Colour::Plain,
                    &format!("expected: {}", failure.expected),
                );
                self.block("", Colour::Plain, &format!("seen: {}", failure.seen));
                self.end(Verdict::Fails);
            }
        }
        self.line("");
        self.line(&self.paint(Colour::Bold, &row("scene", "verdict", "checks", "time")));
        for (at, scene) in self.scenes.iter().enumerate() {
            let (verdict, colour) = match scene.verdict {
                Verdict::Holds => ("holds", Colour::Green),
                Verdict::Fails => ("FAILS", Colour::Red),
                Verdict::NotPlayed | Verdict::Playing => ("not played", Colour::Yellow),
            };
            let title = format!("{}. {}", letter(at), scene.title);
            let (checks, time) = match scene.verdict {
                Verdict::NotPlayed => (String::new(), String::new()),
                _ => (
                    scene.checks.to_string(),
                    format!("{:.2} s", scene.took.as_secs_f64()),
                ),
            };
            self.line(&self.paint(colour, &row(&title, verdict, &checks, &time)));
        }
        let holding = self
            .scenes
            .iter()
            .filter(|scene| scene.verdict == Verdict::Holds)
            .count();
        let all = self.scenes.len();
        let took: Duration = self.scenes.iter().map(|scene| scene.took).sum();
        self.line(&format!(
            "\n{holding} of {all} scenes hold ({:.1} s).",
            took.as_secs_f64()
        ));
        holding == all
    }

    fn checked(&mut self, claim: &str) {
        if let Some(scene) = self.playing() {
            scene.checks += 1;
        }
        self.block("ok", Colour::Green, claim);
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(scene) = self.playing() {
            scene.verdict = verdict;
            scene.took = scene.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        }
    }

    fn playing(&mut self) -> Option<&mut Scene> {
        self.scenes
            .iter_mut()
            .find(|scene| scene.verdict == Verdict::Playing)
    }

    /// A text behind a word in the margin, wrapped.
    fn block(&self, margin: &str, colour: Colour, text: &str) {
        let mut line = String::new();
        let mut margin = format!("  {margin:<4} ");
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= TEXT_WIDTH {
                self.line(&format!("{}{line}", self.paint(colour, &margin)));
                margin = " ".repeat(margin.len());
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&format!("{}{line}", self.paint(colour, &margin)));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        match colour {
            _ if !self.colours => text.to_owned(),
            Colour::Plain => text.to_owned(),
            Colour::Bold => format!("\x1b[1m{text}\x1b[0m"),
            Colour::Red => format!("\x1b[31m{text}\x1b[0m"),
            Colour::Green => format!("\x1b[32m{text}\x1b[0m"),
            Colour::Yellow => format!("\x1b[33m{text}\x1b[0m"),
            Colour::Cyan => format!("\x1b[36m{text}\x1b[0m"),
        }
    }

    /// A closed output is no reason to stop: the verdict is in the exit code too.
    fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    }
}

#[derive(Clone, Copy)]
enum Colour {
    Plain,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

/// Waits on a thread of its own, which does not keep the process from ending. An input that is closed is no wait.
async fn wait_for_enter() {
    let (entered, enter) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        drop(entered);
    });
    // Nothing is sent: it ends when the thread drops its side.
    let _ = enter.await;
}

fn letter(at: usize) -> char {
    ('a'..='z').nth(at).unwrap_or('?')
}

fn row(scene: &str, verdict: &str, checks: &str, time: &str) -> String {
    format!("  {scene:<34} {verdict:<10} {checks:>8} {time:>9}")
}

const LEGEND: &str = "Everything is asked of them over gRPC. \"do\" is what is done, \"see\" what they answer, \"ok\" a \
    claim that was checked, \"how\" the mechanism behind it.";
const TEXT_WIDTH: usize = 92;
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
