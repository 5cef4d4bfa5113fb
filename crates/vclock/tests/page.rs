//! `docs/causality.md` shows what the example prints, picture by picture. Not part of the published
//! package, which has no such page.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[allow(dead_code)] // the example's `main`
#[path = "../examples/causality.rs"]
mod causality;

#[test]
fn the_page_shows_the_pictures_that_the_example_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/causality.md");
    let page = fs::read_to_string(page).unwrap();
    let shown: Vec<&str> = page
        .split("```text\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let printed = causality::pictures().unwrap();
    assert_eq!(shown.len(), printed.len());
    for (shown, (title, picture)) in shown.iter().zip(&printed) {
        assert_eq!(shown, picture, "{title}");
    }
}
