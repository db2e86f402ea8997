//! The scenarios the binary carries, so that `bpftwin run` needs no file.

use bpftwin_sim::uapi::Release;

use crate::resolve::Library;
use crate::suite::Item;

/// A bundled scenario.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// The scenario's name.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
    /// Kernel series and text of goldens.
    pub goldens: &'static [(&'static str, &'static str)],
}

/// Every bundled scenario, by name.
pub const SCENARIOS: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The known differences of the bundled scenarios.
pub const LEDGER: &str = include_str!("../ledger.toml");

/// Where the ledger is in the repository.
pub const LEDGER_FILE: &str = "conformance/ledger.toml";

impl Bundled {
    /// Ready to run.
    pub fn item(&self) -> Item {
        let goldens = self.goldens.iter().filter_map(|(series, text)| {
            let release: Release = series.parse().ok()?;
            Some((release, (*text).to_owned()))
        });
        Item {
            name: self.name.to_owned(),
            file: format!("conformance/scenarios/{}.toml", self.name),
            text: self.text.to_owned(),
            library: Library::bundled(),
            goldens: goldens.collect(),
        }
    }
}
