//! Layers against the plainest possible account of them, and the words of every refusal.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use dynamokv_settings::{Error, Invalid, Kind, Layers, Origin, Schema, Settings};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Colour {
    /// As blood.
    #[default]
    Red,
    /// As the sea.
    DeepBlue,
}

/// All kinds of settings.
#[derive(Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
struct Lamp {
    /// Its name, wrapped
    /// in the source.
    #[schemars(length(min = 1, max = 4), extend("x-section" = "Looks"))]
    name: Option<String>,
    /// Its colour.
    colour: Colour,
    /// Watts.
    #[schemars(range(min = -5, max = 60))]
    power: i32,
    /// A count.
    count: u32,
    /// Hours.
    #[schemars(range(min = 0.5), extend("x-section" = "Use"))]
    hours: Option<f64>,
    /// Whether it is lit.
    lit: bool,
    /// Rooms.
    rooms: Vec<String>,
}

impl Settings for Lamp {
    const VARIABLES: &'static str = "LAMP";

    fn check(&self) -> Result<(), Invalid> {
        match self.lit && self.power < 0 {
            true => Err(Invalid::new("lit", "needs `power`")),
            false => Ok(()),
        }
    }
}

fn file(text: &str) -> Result<Layers, Error> {
    Layers::of::<Lamp>().file(Path::new("lamp.toml"), text)
}

proptest! {
    /// The oracle: the last one who said something about a setting is believed.
    #[test]
    fn the_last_word_counts(
        in_file in proptest::option::of(-5i32..=60),
        in_environment in proptest::option::of(-5i32..=60),
        in_flags in proptest::option::of(-5i32..=60),
    ) {
        let text = in_file.map_or(String::new(), |power| format!("# a comment\npower = {power}"));
        let said = |value: Option<i32>, name: &'static str| {
            move |asked: &str| value.filter(|_| asked == name).map(|value| value.to_string())
        };
        let loaded = file(&text).unwrap()
            .environment(said(in_environment, "LAMP_POWER")).unwrap()
            .flags(said(in_flags, "power")).unwrap()
            .resolve::<Lamp>().unwrap();
        prop_assert_eq!(loaded.settings.power, in_flags.or(in_environment).or(in_file).unwrap_or(0));
        let origin = loaded.origin("power").to_string();
        let expected = match (in_flags, in_environment, in_file) {
            (Some(_), _, _) => "flag --power",
            (_, Some(_), _) => "environment variable LAMP_POWER",
            (_, _, Some(_)) => "lamp.toml:2",
            _ => "default",
        };
        prop_assert_eq!(origin, expected);
    }

    /// What a flag says in text is what the file says in TOML.
    #[test]
    fn text_and_toml_say_the_same(
        power in any::<i32>(), count in any::<i64>(), hours in any::<f64>(), name in "[a-z]{0,6}",
        colour in "red|blue|deep-blue", lit in any::<bool>(), rooms in proptest::collection::vec("[a-z]{1,4}", 0..3),
    ) {
        let values = BTreeMap::from([
            ("power", (power.to_string(), power.to_string())),
            ("count", (count.to_string(), count.to_string())),
            ("hours", (format!("{hours:?}"), hours.to_string())),
            ("name", (format!("{name:?}"), name)),
            ("colour", (format!("{colour:?}"), colour)),
            ("lit", (lit.to_string(), lit.to_string())),
            ("rooms", (format!("{rooms:?}"), rooms.join(","))),
        ]);
        for (key, (toml, text)) in values {
            let by_file = file(&format!("{key} = {toml}"));
            let by_flag = Layers::of::<Lamp>().flags(|asked| (asked == key).then(|| text.clone()));
            match (by_file, by_flag) {
                (Ok(by_file), Ok(by_flag)) => prop_assert_eq!(
                    by_file.resolve::<Lamp>().map(|of| of.settings).map_err(|_| ()),
                    by_flag.resolve::<Lamp>().map(|of| of.settings).map_err(|_| ()),
                ),
                // The same reason, from another origin.
                (Err(Error::Invalid { invalid: one, .. }), Err(Error::Invalid { invalid: other, .. })) => {
                    prop_assert_eq!(one.key, other.key);
                }
                (one, other) => prop_assert!(false, "{} {:?} {:?}", key, one.err(), other.err()),
            }
        }
    }
}

#[test]
fn every_refusal_names_the_setting_the_limit_and_the_place() {
    let table = [
        (
            "power = 61",
            "lamp.toml:1: `power` is 61, but must be a whole number in -5..=60",
        ),
        (
            "\n\ncount = -1",
            "lamp.toml:3: `count` is -1, but must be a whole number in 0..=4294967295",
        ),
        (
            "power = \"much\"",
            "lamp.toml:1: `power` is \"much\", but must be a whole number in -5..=60",
        ),
        (
            "name = \"lantern\"",
            "lamp.toml:1: `name` has 7 bytes, but must be text of 1..=4 bytes",
        ),
        (
            "colour = \"blue\"",
            "lamp.toml:1: `colour` is \"blue\", but must be one of `red`, `deep-blue`",
        ),
        (
            "hours = nan",
            "lamp.toml:1: `hours` is nan, but must be a number of at least 0.5",
        ),
        (
            "lit = 1",
            "lamp.toml:1: `lit` is 1, but must be `true` or `false`",
        ),
        (
            "rooms = [1]",
            "lamp.toml:1: `rooms` is [1], but must be a list of texts",
        ),
        (
            "coluor = \"red\"",
            "lamp.toml:1: unknown setting `coluor`; did you mean `colour`?",
        ),
        ("zzz = 1", "lamp.toml:1: unknown setting `zzz`"),
    ];
    for (text, expected) in table {
        assert_eq!(file(text).unwrap_err().to_string(), expected);
    }
    let error = file("lit = true\npower = -1")
        .unwrap()
        .resolve::<Lamp>()
        .unwrap_err();
    assert_eq!(error.to_string(), "lamp.toml:1: `lit` needs `power`");
    let error = file("power = ").unwrap_err().to_string();
    assert!(
        error.starts_with("lamp.toml: ") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded = Layers::of::<Lamp>()
        .environment(|_| Some(String::new()))
        .unwrap()
        .resolve::<Lamp>()
        .unwrap();
    assert_eq!(loaded.settings, Lamp::default());
    assert_eq!(loaded.origin("rooms"), &Origin::Default);
}

#[test]
fn a_struct_is_checked_like_a_file() {
    let schema = Schema::of::<Lamp>();
    let check = |change: fn(&mut Lamp)| {
        let mut lamp = Lamp::default();
        change(&mut lamp);
        schema.check(&lamp).map_err(|invalid| invalid.key)
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|lamp| lamp.power = 61), Err("power".to_owned()));
    assert_eq!(
        check(|lamp| lamp.hours = Some(0.0)),
        Err("hours".to_owned())
    );
    assert_eq!(
        check(|lamp| (lamp.lit, lamp.power) = (true, -1)),
        Err("lit".to_owned())
    );
}

#[test]
fn the_page_tells_all() {
    let page = Schema::of::<Lamp>().to_markdown();
    let expected = "
## Looks

| setting | default | values | meaning |
|---|---|---|---|
| `name` | not set | text of 1..=4 bytes | Its name, wrapped in the source. |
| `colour` | `red` | `red`, `deep-blue` | Its colour. `red`: As blood. `deep-blue`: As the sea. |
| `power` | `0` | a whole number in -5..=60 | Watts. |
| `count` | `0` | a whole number in 0..=4294967295 | A count. |

## Use

| setting | default | values | meaning |
|---|---|---|---|
| `hours` | not set | a number of at least 0.5 | Hours. |
| `lit` | `false` | `true` or `false` | Whether it is lit. |
| `rooms` | `[]` | a list of texts | Rooms. |
";
    assert_eq!(page, expected);
    assert_eq!(Schema::untold::<Lamp>(), [""; 0]);
}

#[test]
fn what_no_flag_can_carry_is_told() {
    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Nested {
        /// A map.
        map: BTreeMap<String, u32>,
        /// A number.
        number: u32,
    }
    impl Settings for Nested {
        const VARIABLES: &'static str = "N";
    }
    assert_eq!(Schema::untold::<Nested>(), ["map"]);
    let schema = Schema::of::<Nested>();
    assert!(matches!(
        schema.get("number").unwrap().kind,
        Kind::Integer { .. }
    ));
    assert!(schema.get("map").is_none());
}
