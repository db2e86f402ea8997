//! Which modules of a kernel a machine needs, in an order in which they can be loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a machine and the planes use, where the kernel has it as a module: the port; the kinds of devices and their hooks.
const WANTED: [&str; 11] = [
    "virtio_pci",
    "virtio_console",
    "veth",
    "dummy",
    "bridge",
    "vxlan",
    "geneve",
    "ipvlan",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
];

/// A module as a machine loads it.
pub struct Module {
    /// The file's name.
    pub name: String,
    /// Uncompressed and without a signature, which is slow to check.
    pub content: Vec<u8>,
}

/// The modules wanted and what they depend on, each after what it depends on.
pub fn needed(folder: &Path) -> Result<Vec<Module>, String> {
    let mut files = BTreeMap::new();
    find(folder, &mut files).map_err(|error| format!("{}: {error}", folder.display()))?;
    if files.is_empty() {
        return Err(format!("{}: no modules in this folder", folder.display()));
    }
    let mut found: Vec<Module> = Vec::new();
    for name in WANTED {
        add(name, &files, &mut found)?;
    }
    Ok(found)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, found: &mut Vec<Module>) -> Result<(), String> {
    let file = format!("{name}.ko");
    // What is no file is built in, or not there: then whoever needs it hears that from the kernel.
    let Some(path) = files.get(name) else { return Ok(()) };
    if found.iter().any(|module| module.name == file) {
        return Ok(());
    }
    let content = read(path)?;
    for dependency in dependencies(&content) {
        add(&dependency, files, found)?;
    }
    found.push(Module { name: file, content: unsigned(content) });
    Ok(())
}

/// Every module below `folder`, by the name the kernel knows it by.
fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, files)?;
        } else if let Some((stem, "" | ".xz" | ".zst" | ".gz")) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once(".ko"))
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).map_err(|error| format!("{}: {error}", path.display())),
    };
    let output =
        Command::new(program).arg("-dc").arg(path).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{program} -dc {}: {said}", path.display()))
    }
}

/// What the line `depends=a,b` of a module's section `.modinfo` says.
fn dependencies(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = content.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = content[at + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// Cuts off the signature: `include/linux/module_signature.h`, v6.12. After it come `struct module_signature`, 12 bytes
/// whose last 4 are its length, big-endian, and a line that says so.
fn unsigned(mut content: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    if let Some(rest) = content.strip_suffix(MARK)
        && let Some(length) = rest.last_chunk::<4>()
        && let Some(end) = rest.len().checked_sub(12 + u32::from_be_bytes(*length) as usize)
    {
        content.truncate(end);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_cut_off_and_nothing_else() {
        let mut signed = b"the module".to_vec();
        signed.extend_from_slice(&[7; 300]);
        signed.extend_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0]);
        signed.extend_from_slice(&300_u32.to_be_bytes());
        signed.extend_from_slice(b"~Module signature appended~\n");
        assert_eq!(unsigned(signed), b"the module");
        assert_eq!(unsigned(b"no signature".to_vec()), b"no signature");
    }

    #[test]
    fn dependencies_come_first() {
        let folder = std::env::temp_dir().join(format!("bpftwin-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel")).unwrap();
        for (file, depends) in [
            ("kernel/vxlan.ko", "ip6-udp-tunnel,udp_tunnel"),
            ("kernel/ip6_udp_tunnel.ko", ""),
            ("udp_tunnel.ko", ""),
            ("geneve.ko", "udp_tunnel"),
            ("unwanted.ko", ""),
        ] {
            fs::write(folder.join(file), format!("\0license=GPL\0depends={depends}\0name=x\0")).unwrap();
        }
        let names: Vec<_> = needed(&folder).unwrap().into_iter().map(|module| module.name).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, ["ip6_udp_tunnel.ko", "udp_tunnel.ko", "vxlan.ko", "geneve.ko"]);
    }
}
