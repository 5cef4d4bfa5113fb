use proptest::prelude::*;

use crate::{call, path, router};

const KEYS: &str = "/v1/keyspaces/default/keys";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes as a key, any bytes as a value, any media type.
    #[test]
    fn what_is_put_is_got(
        key in prop::collection::vec(any::<u8>(), 1..100),
        value in prop::collection::vec(any::<u8>(), 0..2_000),
        media in proptest::option::of("[a-z]{1,9}/[a-z]{1,9}(; [a-z]{1,5}=[a-z]{1,5})?"),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (router, path) = (router(), path(&key));
            prop_assert_eq!(call(&router, "GET", &path, &[], "").await.status, 404);
            let headers: Vec<(&str, &str)> = media.iter().map(|media| ("content-type", media.as_str())).collect();
            let put = call(&router, "PUT", &path, &headers, value.clone()).await;
            prop_assert_eq!(put.status, 204);
            let got = call(&router, "GET", &path, &[], "").await;
            prop_assert_eq!((got.status, &got.body[..]), (200, &value[..]));
            prop_assert_eq!(got.header("content-type"), media.as_deref().unwrap_or("application/octet-stream"));
            prop_assert_eq!(got.header("dynamokv-context"), put.header("dynamokv-context"));
            let head = call(&router, "GET", &path, &[], "").await;
            prop_assert_eq!(head.status, 200);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn siblings_are_told_in_the_form_that_is_wanted_and_merged_with_their_context() {
    let (router, path) = (router(), path(b"cart"));
    call(
        &router,
        "PUT",
        &path,
        &[("content-type", "text/plain")],
        "milk",
    )
    .await;
    call(&router, "PUT", &path, &[], "bread").await;

    let parts = call(&router, "GET", &path, &[], "").await;
    assert_eq!(parts.status, 300);
    let boundary = parts
        .header("content-type")
        .split_once("boundary=")
        .unwrap()
        .1;
    let body = String::from_utf8(parts.body.to_vec()).unwrap();
    assert_eq!(body.matches(&format!("--{boundary}\r\n")).count(), 2);
    assert!(body.contains("content-type: text/plain\r\n") && body.contains("\r\n\r\nbread\r\n"));

    let json = call(&router, "GET", &path, &[("accept", "application/json")], "").await;
    assert_eq!(json.status, 300);
    let told = json.json();
    assert_eq!(told["values"][0]["value"], "bWlsaw==");
    assert_eq!(told["values"][0]["content_type"], "text/plain");
    assert_eq!(told["values"][1]["content_type"], serde_json::Value::Null);
    assert_eq!(told["context"], json.header("dynamokv-context"));
    let neither = call(&router, "GET", &path, &[("accept", "text/html")], "").await;
    assert_eq!(neither.status, 406);

    let context = [("dynamokv-context", json.header("dynamokv-context"))];
    let merged = call(&router, "PUT", &path, &context, "milk, bread").await;
    assert_eq!(merged.status, 204);
    let got = call(&router, "GET", &path, &[("accept", "text/html")], "").await;
    assert_eq!((got.status, &got.body[..]), (200, &b"milk, bread"[..]));
}

#[tokio::test]
async fn a_delete_needs_to_have_seen_what_it_deletes() {
    let (router, path) = (router(), path(b"milk"));
    let put = call(&router, "PUT", &path, &[], "2 l").await;
    assert_eq!(call(&router, "DELETE", &path, &[], "").await.status, 428);
    let context = [("dynamokv-context", put.header("dynamokv-context"))];
    let deleted = call(&router, "DELETE", &path, &context, "").await;
    assert_eq!(deleted.status, 204);
    let got = call(&router, "GET", &path, &[], "").await;
    assert_eq!((got.status, got.header("dynamokv-context")), (404, ""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a plain filter; each key as it is listed is good for a path.
    #[test]
    fn keys_are_listed_page_by_page(
        keys in prop::collection::btree_set(prop::collection::vec(0x5e..=0x61_u8, 1..4), 0..20),
        prefix in prop::collection::vec(0x5f..=0x60_u8, 0..3),
        limit in 1..9_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let router = router();
            for key in &keys {
                call(&router, "PUT", &path(key), &[], "v").await;
            }
            let wanted: Vec<_> = keys.iter().filter(|key| key.starts_with(&prefix)).collect();
            let prefix = percent_encoding::percent_encode(&prefix, percent_encoding::NON_ALPHANUMERIC);
            let (mut after, mut listed) = (String::new(), Vec::new());
            loop {
                let page = format!("{KEYS}?prefix={prefix}&limit={limit}&after={after}");
                let page = call(&router, "GET", &page, &[], "").await;
                prop_assert_eq!(page.status, 200);
                let page = page.json();
                let keys = page["keys"].as_array().unwrap();
                prop_assert!(keys.len() <= limit);
                listed.extend(keys.iter().map(|key| key.as_str().unwrap().to_owned()));
                match page["next"].as_str() {
                    Some(next) => after = next.to_owned(),
                    None => break,
                }
            }
            prop_assert_eq!(listed.len(), wanted.len());
            for (name, key) in listed.iter().zip(wanted) {
                let at = format!("{KEYS}/{name}");
                prop_assert_eq!(call(&router, "GET", &at, &[], "").await.status, 200);
                let decoded: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
                prop_assert_eq!(&decoded, key);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn bad_input_is_answered_with_the_field_that_is_wrong() {
    let router = router();
    let milk = path(b"milk");
    let at = |query: &str| format!("{milk}?{query}");
    type Row<'a> = (&'a str, String, &'a [(&'a str, &'a str)], u16, &'a str);
    let list = |query: &str| format!("{KEYS}?{query}");
    let table: [Row; 17] = [
        (
            "GET",
            at("timeout_ms=0"),
            &[],
            400,
            "timeout_ms: 0, but must be 1..=60000",
        ),
        ("PUT", at("timeout_ms=60001"), &[], 400, "timeout_ms: 60001"),
        (
            "GET",
            list("limit=0"),
            &[],
            400,
            "limit: 0, but must be 1..=1000",
        ),
        (
            "GET",
            list("limit=1001"),
            &[],
            400,
            "limit: 1001, but must be 1..=1000",
        ),
        ("GET", list("after=%3F"), &[], 400, "after: "),
        ("GET", list("r=1"), &[], 400, "unknown field `r`"),
        ("PUT", KEYS.to_owned(), &[], 405, "PUT"),
        ("GET", at("r=many"), &[], 400, "r: invalid digit"),
        ("GET", at("r=-1"), &[], 400, "r: "),
        ("GET", at("w=1"), &[], 400, "unknown field `w`"),
        (
            "GET",
            at("mode=lazy"),
            &[],
            400,
            "mode: unknown variant `lazy`",
        ),
        ("PUT", at("timeout_ms=1s"), &[], 400, "timeout_ms: "),
        (
            "PUT",
            milk.clone(),
            &[("dynamokv-context", "?")],
            400,
            "dynamokv-context: ",
        ),
        (
            "PUT",
            milk.clone(),
            &[("idempotency-key", "")],
            400,
            "idempotency-key: ",
        ),
        (
            "GET",
            "/v1/keyspaces/%ff/keys/a".to_owned(),
            &[],
            400,
            "keyspace: ",
        ),
        ("POST", milk.clone(), &[], 405, "POST"),
        ("GET", "/v1/keys/milk".to_owned(), &[], 404, "/v1/keys/milk"),
    ];
    for (method, path, headers, status, words) in table {
        let answer = call(&router, method, &path, headers, "").await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, status, "{method} {path}: {detail}");
        assert!(detail.contains(words), "{method} {path}: {detail}");
    }
    let not_so = call(&router, "POST", &milk, &[], "").await;
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert!(not_so.header("allow").contains(method), "{method}");
    }
}

#[tokio::test]
async fn an_unknown_outcome_says_so() {
    let answer = call(&router(), "PUT", "/v1/keyspaces/broken/keys/a", &[], "b").await;
    assert_eq!(
        (answer.status, answer.json()["outcome"].as_str()),
        (504, Some("unknown"))
    );
}

#[tokio::test]
async fn a_request_keeps_its_name_and_gets_one_where_it_has_none() {
    let (router, path) = (router(), path(b"milk"));
    let named = call(&router, "GET", &path, &[("x-request-id", "order-66")], "").await;
    assert_eq!(named.header("x-request-id"), "order-66");
    let drawn = call(&router, "GET", &path, &[("x-request-id", "two words")], "").await;
    let other = call(&router, "GET", &path, &[], "").await;
    assert_eq!(drawn.header("x-request-id").len(), 16);
    assert_ne!(drawn.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn the_description_is_served() {
    let answer = call(&router(), "GET", "/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, dynamokv_http::openapi());
    let paths = answer.json()["paths"].as_object().unwrap().len();
    assert_eq!(paths, 2);
}
