//! The kernel an object is loaded for, as far as files describe it: its types and its configuration.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bpftwin_sim::bpf::btf::Btf;
use bpftwin_sim::bpf::object::Object;
use bpftwin_sim::uapi::ProgType;

use crate::case::{ObjectImage, Typed};

/// Where a running kernel shows its types.
const HOST: &str = "/sys/kernel/btf/vmlinux";

/// A described kernel's types, shared by all who load for it.
#[derive(Clone, Debug)]
pub struct KernelTypes(pub Arc<Btf>);

impl PartialEq for KernelTypes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for KernelTypes {}

/// What is said about objects and the kernel they are loaded for, besides what files of scenarios say.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// The kernel's types; `None`: those of the user-space ABI.
    pub kernel_types: Option<KernelTypes>,
    /// `CONFIG_*` options.
    pub kconfig: Vec<(String, String)>,
    /// Types of programs, by C name, whose sections' names say none.
    pub types: Vec<(String, ProgType)>,
    /// The words on a command line that say this.
    pub flags: Vec<String>,
}

impl Described {
    /// Gives the programs of `object` their types: those it has, to be told to whoever loads it.
    pub fn set_types(&self, object: &mut Object) -> Vec<Typed> {
        let mut set = Vec::new();
        for (program, prog_type) in &self.types {
            if object.set_type(program, *prog_type) {
                set.push(Typed { program: program.clone(), prog_type: *prog_type as u32 });
            }
        }
        set
    }

    /// Tells an image about the kernel.
    pub fn describe(&self, image: &mut ObjectImage) {
        if self.kernel_types.is_some() {
            image.kernel_types.clone_from(&self.kernel_types);
        }
        image.kconfig.extend(self.kconfig.iter().cloned());
    }
}

/// The program type with this name: the kernel's, with or without `BPF_PROG_TYPE_`, in any case.
pub fn program_type(name: &str) -> Result<ProgType, String> {
    let name = name.to_uppercase();
    let wanted = format!("BPF_PROG_TYPE_{}", name.trim_start_matches("BPF_PROG_TYPE_"));
    let known = ProgType::ALL.iter().find(|known| known.kernel_name() == wanted);
    known.copied().ok_or_else(|| format!("there is no program type {wanted}"))
}

/// The types of a described kernel: `abi` for those of the user-space ABI, which are bundled, `host` for the running
/// kernel's, else a file: BTF as in `/sys/kernel/btf/vmlinux`, or a BPF object that carries it.
pub fn types(name: &str) -> Result<Option<KernelTypes>, String> {
    types_by(name, |path| fs::read(path).map_err(|error| format!("{path}: {error}")))
}

/// The same, with files read by `read`.
pub fn types_by(
    name: &str,
    read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
) -> Result<Option<KernelTypes>, String> {
    let (path, bytes) = match name {
        "abi" => return Ok(None),
        "host" => (HOST, fs::read(HOST).map_err(|error| format!("{HOST}: {error}"))?),
        path => (path, read(path)?),
    };
    let btf = if bytes.starts_with(b"\x7fELF") {
        let object = Object::parse(path, &bytes).map_err(|error| format!("{path}: {error}"))?;
        object.btf.ok_or_else(|| format!("{path}: the object carries no types"))?
    } else {
        Btf::parse(&bytes).map_err(|error| format!("{path}: {error}"))?
    };
    Ok(Some(KernelTypes(Arc::new(btf))))
}

/// The options in a kernel configuration such as `/boot/config-6.12.0`: `CONFIG_X=y`, one a line.
pub fn kconfig(path: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |what: String| format!("{}: {what}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let mut options = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let option = line.split_once('=').filter(|(name, _)| name.starts_with("CONFIG_"));
        let (name, value) = option.ok_or_else(|| failed(format!("line {number} is no CONFIG_…=…")))?;
        options.push((name.to_owned(), value.to_owned()));
    }
    Ok(options)
}
