//! Where objects, captures and JSON files come from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Finds files: `datapath:NAME` and `pcaps:NAME` are bundled, everything else is a path from the scenario's folder.
#[derive(Clone, Debug, Default)]
pub struct Library {
    folder: Option<PathBuf>,
}

impl Library {
    /// For a scenario in `folder`.
    pub fn beside(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// For a bundled scenario, which has no folder.
    pub const fn bundled() -> Self {
        Self { folder: None }
    }

    /// The bytes of `name`, or why there are none, in words.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, String> {
        if let Some(object) = name.strip_prefix("datapath:") {
            return bpftwin_datapath::object(object).map(|o| Cow::Borrowed(o.bytes)).ok_or_else(|| {
                let known = bpftwin_datapath::OBJECTS.iter().map(|object| object.name);
                let help = crate::scenario::mistake::suggest(object, known).unwrap_or_default();
                format!("no bundled object has this name; {help}")
            });
        }
        if let Some(capture) = name.strip_prefix("pcaps:") {
            return bpftwin_pcaps::get(capture).map(Cow::Borrowed).ok_or_else(|| {
                let known = bpftwin_pcaps::CAPTURES.iter().map(|capture| capture.file);
                let help = crate::scenario::mistake::suggest(capture, known).unwrap_or_default();
                format!("no bundled capture has this name; {help}")
            });
        }
        let Some(folder) = &self.folder else {
            return Err("a bundled scenario uses datapath:NAME and pcaps:NAME only".into());
        };
        std::fs::read(folder.join(name)).map(Cow::Owned).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no such file in {}", shown(folder)),
            _ => error.to_string(),
        })
    }
}

fn shown(folder: &Path) -> Cow<'_, str> {
    if folder.as_os_str().is_empty() { ".".into() } else { folder.to_string_lossy() }
}
