use std::fmt;

use serde_json::Value as Json;
use toml::Value;

/// What a setting can be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Text of so many bytes.
    Text {
        /// At least.
        bytes_min: usize,
        /// At most, if there is a limit.
        bytes_max: Option<usize>,
    },
    /// One of these words.
    Choice(Vec<Choice>),
    /// A whole number.
    Integer {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// A number.
    Float {
        /// At least, if there is a limit.
        min: Option<f64>,
    },
    /// `true` or `false`.
    Switch,
    /// Texts; separated by commas where they are not TOML.
    List,
}

/// A word that a setting can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it means; may be empty.
    pub meaning: String,
}

impl Kind {
    /// The kind that a property of a JSON schema describes; `None` for shapes that no flag can carry.
    pub(crate) fn of_schema(property: &Json) -> Option<Self> {
        if let Some(words) = choices(property) {
            return Some(Self::Choice(words));
        }
        let whole = |name: &str| property.get(name).and_then(Json::as_u64);
        match type_of(property)? {
            "string" => Some(Self::Text {
                bytes_min: whole("minLength").unwrap_or(0).try_into().ok()?,
                bytes_max: match whole("maxLength") {
                    Some(max) => Some(max.try_into().ok()?),
                    None => None,
                },
            }),
            "integer" => Some(Self::Integer {
                min: bound(property, "minimum").unwrap_or(i64::MIN),
                max: bound(property, "maximum").unwrap_or_else(|| greatest_of_format(property)),
            }),
            "number" => Some(Self::Float {
                min: property.get("minimum").and_then(Json::as_f64),
            }),
            "boolean" => Some(Self::Switch),
            "array" => property
                .get("items")
                .and_then(type_of)
                .filter(|items| *items == "string")
                .map(|_| Self::List),
            _ => None,
        }
    }

    /// Reads what a flag or an environment variable says.
    ///
    /// # Errors
    /// What the text is and what it must be.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        let wrong = || format!("is {text:?}, but must be {self}");
        match self {
            Self::Text { .. } | Self::Choice(_) => Ok(Value::String(text.to_owned())),
            Self::Integer { .. } => text.parse().map(Value::Integer).map_err(|_| wrong()),
            Self::Float { .. } => text.parse().map(Value::Float).map_err(|_| wrong()),
            Self::Switch => match text {
                "true" | "1" | "yes" | "on" => Ok(Value::Boolean(true)),
                "false" | "0" | "no" | "off" => Ok(Value::Boolean(false)),
                _ => Err(wrong()),
            },
            Self::List => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Ok(items.map(Value::from).collect::<Vec<_>>().into())
            }
        }
    }

    /// Takes `value` if it is of this kind and within its limits; a whole number passes for a number.
    ///
    /// # Errors
    /// What the value is and what it must be.
    pub(crate) fn check(&self, value: Value) -> Result<Value, String> {
        let value = match (self, value) {
            (Self::Float { .. }, Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        let holds = match (self, &value) {
            (
                Self::Text {
                    bytes_min,
                    bytes_max,
                },
                Value::String(text),
            ) => {
                if text.len() < *bytes_min || bytes_max.is_some_and(|max| text.len() > max) {
                    return Err(format!("has {} bytes, but must be {self}", text.len()));
                }
                true
            }
            (Self::Choice(words), Value::String(text)) => {
                words.iter().any(|choice| choice.word == *text)
            }
            (Self::Integer { min, max }, Value::Integer(number)) => (min..=max).contains(&number),
            (Self::Float { min }, Value::Float(number)) => {
                number.is_finite() && min.is_none_or(|min| *number >= min)
            }
            (Self::Switch, Value::Boolean(_)) => true,
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_str),
            _ => false,
        };
        if holds {
            Ok(value)
        } else {
            Err(format!("is {value}, but must be {self}"))
        }
    }
}

/// Completes "must be".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                bytes_min: 0,
                bytes_max: None,
            } => f.write_str("text"),
            Self::Text {
                bytes_min,
                bytes_max: None,
            } => write!(f, "text of at least {bytes_min} bytes"),
            Self::Text {
                bytes_min,
                bytes_max: Some(max),
            } => write!(f, "text of {bytes_min}..={max} bytes"),
            Self::Choice(words) => {
                f.write_str("one of")?;
                for (at, choice) in words.iter().enumerate() {
                    write!(f, "{} `{}`", if at == 0 { "" } else { "," }, choice.word)?;
                }
                Ok(())
            }
            Self::Integer { min, max: i64::MAX } => write!(f, "a whole number of at least {min}"),
            Self::Integer { min, max } => write!(f, "a whole number in {min}..={max}"),
            Self::Float { min: None } => f.write_str("a number"),
            Self::Float { min: Some(min) } => write!(f, "a number of at least {min}"),
            Self::Switch => f.write_str("`true` or `false`"),
            Self::List => f.write_str("a list of texts"),
        }
    }
}

/// An optional setting has its type beside `null`.
fn type_of(property: &Json) -> Option<&str> {
    match property.get("type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => names
            .iter()
            .filter_map(Json::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}

/// Words with a meaning come as `oneOf`, those without as `enum`.
fn choices(property: &Json) -> Option<Vec<Choice>> {
    let word = |word: &Json, meaning: Option<&Json>| {
        Some(Choice {
            word: word.as_str()?.to_owned(),
            meaning: meaning.and_then(Json::as_str).unwrap_or("").to_owned(),
        })
    };
    if let Some(words) = property.get("enum").and_then(Json::as_array) {
        return words.iter().map(|of| word(of, None)).collect();
    }
    let variants = property.get("oneOf")?.as_array()?;
    let choice = |variant: &Json| word(variant.get("const")?, variant.get("description"));
    variants.iter().map(choice).collect()
}

/// TOML has no greater numbers than `i64`.
fn bound(property: &Json, name: &str) -> Option<i64> {
    let bound = property.get(name)?;
    bound
        .as_i64()
        .or_else(|| bound.as_u64().map(|_| i64::MAX))
        .or_else(|| bound.as_f64().map(|bound| bound as i64))
}

fn greatest_of_format(property: &Json) -> i64 {
    match property.get("format").and_then(Json::as_str) {
        Some("uint32") => u32::MAX.into(),
        Some("int32") => i32::MAX.into(),
        _ => i64::MAX,
    }
}
