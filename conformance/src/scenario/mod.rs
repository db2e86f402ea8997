//! Scenario files: text to typed data, every mistake with its place.

pub mod mistake;
pub mod model;
pub mod node;
pub mod spanned;
pub mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use mistake::{Mistake, Mistakes, What, suggest};
use model::File;
use spanned::{Span, Spanned};

/// A scenario that was read.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name reports use: the file's, without folder and `.toml`.
    pub name: String,
    /// The file's name as given.
    pub file: String,
    /// Its text.
    pub text: Arc<str>,
    /// Which form it is, with the data.
    pub form: Form,
}

/// The two forms of a scenario.
#[derive(Debug, Clone)]
pub enum Form {
    /// Packets through programs.
    Program(Box<File>),
    /// Frames through nodes and links: which parts the file uses, such as `node`, `step`.
    Topology(Box<File>, Vec<&'static str>),
}

impl Scenario {
    /// Reads the text of a scenario file. `file` is what messages call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let text: Arc<str> = text.into();
        let fail = |list| Mistakes { file: file.to_owned(), text: text.clone(), list };
        let data: File = toml::from_str(&text).map_err(|error| {
            // A typo in a table's name makes its subtables nonsense: the typo is what to say.
            let unknown = unknown_tables(&text);
            fail(if unknown.is_empty() { vec![of_toml(&error, &text)] } else { unknown })
        })?;
        let parts = topology::parts(&data);
        let mut mistakes = Vec::new();
        let form = if parts.is_empty() {
            Form::Program(Box::new(data))
        } else {
            if let Some(packet) = data.packet.first() {
                let span = packet.name.as_ref().map_or(0..0, |name| name.span.clone());
                let what =
                    format!("`packet` belongs to the program form, `{}` to the topology form", parts[0]);
                mistakes.push(
                    Mistake::new(What::Choice(what), &span)
                        .help("one file holds one form; frames of a topology are sent by `[[step]]`"),
                );
            }
            topology::validate(&data, &mut mistakes);
            Form::Topology(Box::new(data), parts)
        };
        if !mistakes.is_empty() {
            return Err(fail(mistakes));
        }
        Ok(Self { name: name_of(file), file: file.to_owned(), text, form })
    }

    /// The line of what `[scenario] title` says.
    pub fn title(&self) -> &str {
        match &self.form {
            Form::Program(file) | Form::Topology(file, _) => &file.scenario.title,
        }
    }
}

/// The JSON Schema of a scenario file, for editors.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(File)
}

/// Keys of the file that the model does not have.
fn unknown_tables(text: &str) -> Vec<Mistake> {
    let Ok(document) = toml::from_str::<BTreeMap<Spanned<String>, node::Node>>(text) else {
        return Vec::new();
    };
    let schema = schema();
    let known = schema.get("properties").and_then(|properties| properties.as_object());
    let known: Vec<&str> =
        known.into_iter().flat_map(|properties| properties.keys().map(String::as_str)).collect();
    let unknown = document.into_keys().filter(|key| !known.contains(&key.as_str()));
    unknown.map(|key| unknown_key(&key, &key.span, known.iter().copied())).collect()
}

fn unknown_key<'a>(key: &str, span: &Span, known: impl IntoIterator<Item = &'a str>) -> Mistake {
    let mistake = Mistake::new(What::UnknownKey { key: key.to_owned() }, span);
    match suggest(key, known) {
        Some(help) => mistake.help(help),
        None => mistake,
    }
}

/// A scenario's name, given its file's: the path from the last folder called `scenarios`, else the file's own name;
/// without `.toml`.
pub fn name_of(file: &str) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let after = parts[..parts.len() - 1].iter().rposition(|folder| *folder == "scenarios");
    let name = parts[after.map_or(parts.len() - 1, |at| at + 1)..].join("/");
    name.strip_suffix(".toml").unwrap_or(&name).to_owned()
}

/// A parser's error as a mistake: serde says `` unknown field `x`, expected one of `a`, `b` ``.
pub(crate) fn of_toml(error: &toml::de::Error, text: &str) -> Mistake {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field `") {
        let key = quoted.first().copied().unwrap_or_default();
        return unknown_key(key, &span, quoted.iter().skip(1).copied());
    }
    if message.starts_with("unknown variant `") {
        let name = quoted.first().copied().unwrap_or_default();
        return Mistake::unknown("kind", name, &span, quoted.iter().skip(1).copied());
    }
    if message.starts_with("invalid type: ") {
        return Mistake::new(What::WrongType(message), &span);
    }
    let what = if message.starts_with("missing field `scenario`") && text.trim().is_empty() {
        "the file is empty: a scenario starts with [scenario]".into()
    } else {
        message
    };
    Mistake::new(What::Syntax(what), &span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_where_one_stands() {
        for (file, name) in [
            ("my-first.toml", "my-first"),
            ("a/b/my-first.toml", "my-first"),
            ("conformance/scenarios/veth/arp.toml", "veth/arp"),
            ("/x/scenarios/scenarios/arp.toml", "arp"),
            ("scenarios.toml", "scenarios"),
            ("scenarios/odd", "odd"),
        ] {
            assert_eq!(name_of(file), name);
        }
    }
}
