//! The conformance suite of the [`Engine`](crate::Engine) trait.
