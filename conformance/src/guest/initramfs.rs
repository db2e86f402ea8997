//! A machine's initial file system: `bpftwin-kernel`, the shared libraries it names, kernel modules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::MODULES;

/// Folders that file systems are mounted on.
const MOUNT_POINTS: [&str; 4] = ["/proc", "/sys", "/dev", "/tmp"];

/// An archive in the format the kernel unpacks: `Documentation/driver-api/early-userspace/buffer-format.rst`, v6.12,
/// "newc" of cpio(5). The same files give the same bytes.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    entries: u32,
}

impl Archive {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode == Self::FOLDER { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, checksum
        let size = content.len() as u32;
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// A folder and those it is in, each once.
    pub fn folder(&mut self, path: &Path) {
        let Some(parent) = path.parent() else { return };
        self.folder(parent);
        if self.folders.insert(path.to_owned()) {
            self.entry(&relative(path), Self::FOLDER, &[]);
        }
    }

    /// An executable file.
    pub fn file(&mut self, path: &Path, content: &[u8]) {
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        self.entry(&relative(path), Self::FILE, content);
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

fn relative(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// The initial file system with this binary as `/init` and these modules in this order.
pub fn build(binary: &Path, modules: &[PathBuf]) -> Result<Vec<u8>, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut archive = Archive::default();
    for folder in MOUNT_POINTS {
        archive.folder(Path::new(folder));
    }
    archive.file(Path::new("/init"), &read(binary)?);
    for library in libraries(binary)? {
        archive.file(&library, &read(&library)?);
    }
    archive.folder(Path::new(MODULES));
    for (index, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&Path::new(MODULES).join(format!("{index:02}-{name}")), &read(module)?);
    }
    Ok(archive.finish())
}

/// The files a dynamic loader maps for this binary, as ldd(1) tells them: none for a static one.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("ldd").arg(binary).output().map_err(|error| format!("ldd: {error}"))?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("not a dynamic executable") || said.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !output.status.success() || said.contains("not found") {
        return Err(format!("ldd {}: {}", binary.display(), said.trim()));
    }
    Ok(paths_of(&said))
}

/// The paths in ldd's lines, `libelf.so.1 => /lib/libelf.so.1 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn paths_of(said: &str) -> Vec<PathBuf> {
    let words = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an entry as cpio(5) describes it, and its name and content.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let field = |n: usize| {
                u32::from_str_radix(std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap(), 16).unwrap()
            };
            assert_eq!((&bytes[..6], offset % 4), (&b"070701"[..], 0));
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            let start = (110 + name_size).next_multiple_of(4);
            let end = (start + size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(end, bytes.len());
                return found;
            }
            found.push((name, mode, bytes[start..start + size].to_vec()));
            offset += end;
            bytes = &bytes[end..];
        }
    }

    #[test]
    fn an_archive_holds_folders_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b/one"), b"12345");
        archive.file(Path::new("/a/two"), b"");
        let expected = [
            ("a", Archive::FOLDER, &b""[..]),
            ("a/b", Archive::FOLDER, b""),
            ("a/b/one", Archive::FILE, b"12345"),
            ("a/two", Archive::FILE, b""),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, mode, content)| ((*name).to_owned(), *mode, content.to_vec()))
            .collect();
        assert_eq!(entries(&archive.finish()), expected);
    }

    #[test]
    fn what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let paths = ["/lib/x86_64-linux-gnu/libelf.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths_of(said), paths.map(PathBuf::from));
    }
}
