//! Configurations: values of global variables, by their BTF names, that an object is verified with.

use std::collections::BTreeMap;

use bpftwin_sim::bpf::object::Object;

use crate::case::Global;
use crate::resolve::objects::global;
use crate::scenario::mistake::What;
use crate::scenario::node::Node;
use crate::scenario::spanned::Spanned;

/// The name of the configuration in which an object is as it was compiled.
pub const DEFAULT: &str = "default";

/// A name and what is set.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The name, in reports and locks.
    pub name: String,
    /// Variables and their values.
    pub set: BTreeMap<Spanned<String>, Node>,
}

impl Config {
    /// Nothing set.
    pub fn default_values() -> Self {
        Self { name: DEFAULT.into(), ..Self::default() }
    }

    /// `NAME=VALUE`s, as one configuration that is called like them.
    pub fn of_settings(settings: &[String]) -> Result<Self, String> {
        let mut set = BTreeMap::new();
        for setting in settings {
            if setting.contains('\n') || !setting.contains('=') {
                return Err(format!("`{setting}` is not NAME=VALUE"));
            }
            let read: BTreeMap<Spanned<String>, Node> =
                toml::from_str(setting).map_err(|error| format!("`{setting}`: {}", error.message()))?;
            set.extend(read);
        }
        Ok(Self { name: settings.join(","), set })
    }

    /// A file of tables: each name a configuration, each key in it a variable.
    pub fn of_file(text: &str) -> Result<Vec<Self>, String> {
        let read: BTreeMap<String, BTreeMap<Spanned<String>, Node>> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(read.into_iter().map(|(name, set)| Self { name, set }).collect())
    }

    /// What it sets in `object`, which is meant by `variable` and by `OBJECT:variable`. `None`: the object has none of its
    /// variables.
    pub fn globals(&self, object: &Object) -> Result<Option<Vec<Global>>, String> {
        if self.set.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (mut globals, mut absent) = (Vec::new(), None);
        for (variable, value) in &self.set {
            let (of, name) = variable.value.split_once(':').unwrap_or((&object.name, &variable.value));
            if of != object.name {
                continue;
            }
            match global(object, &Spanned::new(name.to_owned(), variable.span.clone()), value) {
                Ok(global) => globals.push(global),
                Err(mistake) if matches!(mistake.what, What::Unknown { what: "global variable", .. }) => {
                    absent = Some(mistake);
                }
                Err(mistake) => return Err(format!("configuration {}: {}", self.name, mistake.what)),
            }
        }
        match absent {
            _ if globals.is_empty() => Ok(None),
            Some(mistake) => Err(format!(
                "configuration {}: object {} has some of its variables, but {}",
                self.name, object.name, mistake.what
            )),
            None => Ok(Some(globals)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth() -> Object {
        Object::parse("veth.o", bpftwin_datapath::object("veth").unwrap().bytes).unwrap()
    }

    #[test]
    fn settings_and_files_say_the_same() {
        let setting = Config::of_settings(&["config={check_source=1}".into()]).unwrap();
        let file = Config::of_file("[strict]\nconfig = { check_source = 1 }\n[default]\n").unwrap();
        let names: Vec<_> = file.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(
            (setting.name.as_str(), &names[..]),
            ("config={check_source=1}", &["default", "strict"][..])
        );
        let object = veth();
        let globals = setting.globals(&object).unwrap().unwrap();
        assert_eq!(globals[0].section, ".rodata");
        assert!(globals[0].value.contains(&1));
        assert_eq!(file[1].globals(&object).unwrap().unwrap(), globals);
        assert_eq!(file[0].globals(&object).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_named() {
        for wrong in ["x", "x=", "x=1\ny=2", "x={"] {
            assert!(Config::of_settings(&[wrong.into()]).is_err(), "{wrong}");
        }
        let of = |text: &str| Config::of_settings(&[text.to_owned()]).unwrap().globals(&veth());
        assert_eq!(of("nothing=1"), Ok(None));
        assert_eq!(of("\"other:config\"={check_source=1}"), Ok(None));
        assert_eq!(of("\"veth:config\"={check_source=1}"), of("config={check_source=1}"));
        assert!(of("config=1").unwrap_err().contains("config=1"));
        let both = Config::of_settings(&["config={check_source=1}".into(), "nothing=1".into()]).unwrap();
        let why = both.globals(&veth()).unwrap_err();
        assert!(why.contains("nothing"), "{why}");
    }
}
