//! Notices panics: tasks swallow theirs, and a run must not.

use std::cell::RefCell;
use std::sync::Once;

use crate::invariants::Violation;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notices panics of this thread from now on, beside whatever is done about them otherwise.
pub(crate) fn watch() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let otherwise = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert_with(|| panic.to_string());
            });
            otherwise(panic);
        }));
    });
    FIRST.take();
}

/// The first panic of this thread since it was watched.
pub(crate) fn noticed() -> Option<Violation> {
    FIRST.take().map(|story| Violation {
        invariant: "nothing_panics",
        key: None,
        story,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_noticed_although_somebody_caught_it() {
        watch();
        assert_eq!(noticed(), None);
        let caught = std::panic::catch_unwind(|| panic!("on purpose"));
        assert!(caught.is_err());
        let noticed = noticed().map(|violation| violation.story);
        assert!(noticed.is_some_and(|story| story.contains("on purpose")));
    }
}
