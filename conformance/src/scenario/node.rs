//! A free-form value of a scenario: what its place in the file means is decided later, by BTF.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::spanned::{Span, Spanned};

/// A value with its place in the file, however deep.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands; for values of a JSON file, where the scenario names the file.
    pub span: Span,
}

/// What a [`Node`] can be.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// An integer.
    Int(i128),
    /// `true` or `false`.
    Bool(bool),
    /// A string.
    Str(String),
    /// An array.
    List(Vec<Node>),
    /// A table, in the file's order.
    Table(Vec<(Spanned<String>, Node)>),
}

impl Kind {
    /// What it is, in words for a message.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Int(_) => "an integer",
            Self::Bool(_) => "a boolean",
            Self::Str(_) => "a string",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// The value of a JSON document, placed at `span`. Numbers with a fraction have no meaning in BTF.
    pub fn from_json(json: &serde_json::Value, span: &Span) -> Result<Self, String> {
        let kind = match json {
            serde_json::Value::Null => return Err("null has no meaning here".into()),
            serde_json::Value::Bool(b) => Kind::Bool(*b),
            serde_json::Value::Number(n) => Kind::Int(
                n.as_i64()
                    .map(i128::from)
                    .or_else(|| n.as_u64().map(i128::from))
                    .ok_or_else(|| format!("{n} is not an integer"))?,
            ),
            serde_json::Value::String(s) => Kind::Str(s.clone()),
            serde_json::Value::Array(list) => {
                Kind::List(list.iter().map(|v| Self::from_json(v, span)).collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(table) => Kind::Table(
                table
                    .iter()
                    .map(|(k, v)| Ok((Spanned::new(k.clone(), span.clone()), Self::from_json(v, span)?)))
                    .collect::<Result<_, String>>()?,
            ),
        };
        Ok(Self { kind, span: span.clone() })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Int(n) => write!(f, "{n}"),
            Kind::Bool(b) => write!(f, "{b}"),
            Kind::Str(s) => f.write_str(s),
            Kind::List(list) => {
                f.write_str("[")?;
                for (i, node) in list.iter().enumerate() {
                    write!(f, "{}{node}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Kind::Table(table) => {
                f.write_str("{")?;
                for (i, (key, node)) in table.iter().enumerate() {
                    write!(f, "{}{} = {node}", if i == 0 { "" } else { ", " }, key.value)?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, span } = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { kind: value, span })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, a boolean, a string, an array or a table")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Kind, E> {
        Ok(Kind::Int(v.into()))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Kind, E> {
        Ok(Kind::Int(v.into()))
    }

    fn visit_i128<E: Error>(self, v: i128) -> Result<Kind, E> {
        Ok(Kind::Int(v))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Kind, E> {
        Ok(Kind::Str(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = map.next_entry::<Spanned<String>, Node>()? {
            table.push(entry);
        }
        Ok(Kind::Table(table))
    }
}

impl JsonSchema for Node {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value typed by BTF: an integer, a boolean, a string (an address, a MAC, htons(80), hex:0a0b, the text of a char array), an array or a struct as a table.",
            "type": ["integer", "boolean", "string", "array", "object"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_kept_at_every_depth() {
        #[derive(Deserialize)]
        struct Doc {
            v: Node,
        }
        let text = "v = { a = [1, \"x\"], b = true }";
        let doc: Doc = toml::from_str(text).unwrap();
        let Kind::Table(table) = &doc.v.kind else { panic!("{:?}", doc.v) };
        assert_eq!(&text[table[0].0.span.clone()], "a");
        let Kind::List(list) = &table[0].1.kind else { panic!("{:?}", table[0]) };
        assert_eq!(&text[list[1].span.clone()], "\"x\"");
        assert_eq!(doc.v.to_string(), "{a = [1, x], b = true}");
        assert!(toml::from_str::<Doc>("v = 1.5").is_err());
    }
}
