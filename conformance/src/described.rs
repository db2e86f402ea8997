//! The kernel an object is loaded for, as far as files describe it: its types and its configuration.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bpftwin_sim::bpf::btf::Btf;
use bpftwin_sim::bpf::object::Object;

/// Where a running kernel shows its types.
const HOST: &str = "/sys/kernel/btf/vmlinux";

/// The types of a described kernel: `abi` for those of the user-space ABI, which are bundled, `host` for the running
/// kernel's, else a file: BTF as in `/sys/kernel/btf/vmlinux`, or a BPF object that carries it.
pub fn types(name: &str) -> Result<Option<Arc<Btf>>, String> {
    let path = match name {
        "abi" => return Ok(None),
        "host" => HOST,
        path => path,
    };
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let btf = if bytes.starts_with(b"\x7fELF") {
        let object = Object::parse(path, &bytes).map_err(|error| format!("{path}: {error}"))?;
        object.btf.ok_or_else(|| format!("{path}: the object carries no types"))?
    } else {
        Btf::parse(&bytes).map_err(|error| format!("{path}: {error}"))?
    };
    Ok(Some(Arc::new(btf)))
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
