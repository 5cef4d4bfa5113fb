//! The deadline that a call carries (`grpc-timeout`).

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The time that the caller gives, if it says so in the form that gRPC prescribes: up to eight digits and a unit.
pub(crate) fn of_call(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (unit_at, unit) = text.char_indices().next_back()?;
    let digits = text.get(..unit_at)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// What is left for the work of a node whose caller waits for `timeout`, so that its verdict arrives in time.
pub(crate) fn with_time_to_answer(timeout: Duration) -> Duration {
    timeout - (timeout / 10).min(ANSWER_TIME_MAX)
}

/// What the request says in milliseconds, or the deadline of its call where that is sooner. No time at all is left to be refused.
pub(crate) fn sooner(asked_ms: Option<u32>, carried: Option<Duration>) -> Option<u32> {
    let carried_ms = carried.map(|carried| u32::try_from(carried.as_millis()).unwrap_or(u32::MAX));
    match (asked_ms, carried_ms) {
        (Some(asked), Some(carried)) => Some(asked.min(carried)),
        (asked, carried) => asked.or(carried),
    }
}

const ANSWER_TIME_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_the_transport_writes_is_read_back() {
        for time in [
            Duration::from_nanos(7),
            Duration::from_millis(1500),
            Duration::from_secs(86_400 * 9),
        ] {
            let mut request = tonic::Request::new(());
            request.set_timeout(time);
            assert_eq!(of_call(request.metadata()), Some(time));
        }
    }

    #[test]
    fn the_sooner_deadline_counts() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(sooner(None, None), None);
        assert_eq!(sooner(Some(5), second), Some(5));
        assert_eq!(sooner(Some(5_000), second), Some(1_000));
        assert_eq!(sooner(None, Some(Duration::MAX)), Some(u32::MAX));
    }

    #[test]
    fn anything_else_is_no_deadline() {
        for text in ["", "5", "S", "-1S", "+1S", "123456789S", "1X", "1.5S"] {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(of_call(&metadata), None, "{text:?}");
        }
    }

    #[test]
    fn the_time_to_answer_is_a_small_part_of_the_whole() {
        assert_eq!(
            with_time_to_answer(Duration::from_millis(100)),
            Duration::from_millis(90)
        );
        assert_eq!(
            with_time_to_answer(Duration::from_secs(60)),
            Duration::from_millis(59_950)
        );
        assert_eq!(with_time_to_answer(Duration::ZERO), Duration::ZERO);
    }
}
