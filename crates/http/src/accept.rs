//! Which of the forms of several values the client prefers.

/// A form of the body that tells several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One part a value, each as it was written.
    Multipart,
    /// One object, values in base64.
    Json,
}

/// The form that an `Accept` header prefers; multipart where it does not care, `None` where it takes neither.
pub(crate) fn preferred(accept: Option<&str>) -> Option<Form> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Form::Multipart);
    };
    let json = quality(accept, "application", "json");
    let multipart = quality(accept, "multipart", "mixed");
    match (json, multipart) {
        (json, multipart) if json <= 0.0 && multipart <= 0.0 => None,
        (json, multipart) if json > multipart => Some(Form::Json),
        _ => Some(Form::Multipart),
    }
}

/// The quality that the most specific range gives to a type; 0 where none fits.
fn quality(accept: &str, main: &str, sub: &str) -> f64 {
    let fits = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let (range_main, range_sub) = parts.next()?.split_once('/')?;
        let specific = match (range_main, range_sub) {
            ("*", "*") => 0,
            (of, "*") if of.eq_ignore_ascii_case(main) => 1,
            (of, exact) if of.eq_ignore_ascii_case(main) && exact.eq_ignore_ascii_case(sub) => 2,
            _ => return None,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        // One that cannot be read is taken for the full quality, as if it had been left out.
        let quality = quality.and_then(|text| text.parse().ok()).unwrap_or(1.0);
        Some((specific, quality))
    };
    let ranges = accept.split(',').filter_map(fits);
    ranges
        .max_by_key(|(specific, _)| *specific)
        .map_or(0.0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_specific_range_counts_and_the_greater_quality_wins() {
        let table = [
            (None, Some(Form::Multipart)),
            (Some(""), Some(Form::Multipart)),
            (Some("*/*"), Some(Form::Multipart)),
            (Some("application/json"), Some(Form::Json)),
            (Some("APPLICATION/JSON; charset=utf-8"), Some(Form::Json)),
            (Some("application/*"), Some(Form::Json)),
            (
                Some("text/html, multipart/mixed;q=0.4, application/json;q=0.5"),
                Some(Form::Json),
            ),
            (
                Some("application/json, multipart/mixed"),
                Some(Form::Multipart),
            ),
            (Some("*/*, application/json;q=0"), Some(Form::Multipart)),
            (Some("*/*;q=0.1, application/json"), Some(Form::Json)),
            (Some("text/plain"), None),
            (Some("application/json;q=0"), None),
            (Some("nonsense"), None),
        ];
        for (accept, form) in table {
            assert_eq!(preferred(accept), form, "{accept:?}");
        }
    }
}
