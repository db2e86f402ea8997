//! Kernels to run in virtual machines: which can be fetched, and the cache of those that were.
//!
//! The cache is `$XDG_CACHE_HOME/bpftwin`, or `~/.cache/bpftwin`. A kernel there is a folder `kernels/NAME` with the image,
//! the modules a machine needs (uncompressed, without signatures), `kernel.json` about them, and what
//! [`guest`](crate::guest) adds: an initial file system and a snapshot of a booted machine.

mod fetch;
mod modules;

pub use fetch::fetch;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plane::Unavailable;

/// A kernel that can be fetched.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is called here.
    pub name: String,
    /// The suite of the Debian archive.
    pub suite: String,
    /// The package, or one that depends on it.
    pub package: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    kernel: Vec<Source>,
}

/// Every kernel that can be fetched, oldest first.
pub fn sources() -> Vec<Source> {
    let text = include_str!("../../kernels.toml");
    toml::from_str::<Catalogue>(text).expect("a test reads the bundled file").kernel
}

/// What is known of a kernel in the cache.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `uname -r`.
    pub release: String,
    /// Where it is from: packages with their versions, or files.
    pub from: Vec<String>,
    /// Of the kernel image.
    pub sha256: String,
    /// Files of modules, in the order they are loaded.
    pub modules: Vec<String>,
}

/// A kernel in the cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cached {
    /// What it is called here.
    pub name: String,
    /// What is known of it.
    pub manifest: Manifest,
    folder: PathBuf,
}

impl Cached {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernel image.
    pub fn vmlinuz(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Its modules, in the order they are loaded.
    pub fn modules(&self) -> Vec<PathBuf> {
        self.manifest.modules.iter().map(|name| self.folder.join("modules").join(name)).collect()
    }

    /// Of the kernel image.
    pub fn sha256(&self) -> &str {
        &self.manifest.sha256
    }
}

/// The cache of this user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Where the environment says.
    pub fn open() -> Result<Self, String> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let folder =
            caches.ok_or("neither XDG_CACHE_HOME nor HOME says where kernels are kept")?.join("bpftwin");
        // QEMU is given paths below it, and may run elsewhere.
        let folder =
            std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self::at(folder))
    }

    /// A certain folder, by its absolute path.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn kernels_folder(&self) -> PathBuf {
        self.folder.join("kernels")
    }

    /// Every kernel here, in order of the names.
    pub fn kernels(&self) -> Vec<Cached> {
        let Ok(entries) = fs::read_dir(self.kernels_folder()) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut kernels: Vec<_> = names.filter_map(|name| self.read(&name).ok()).collect();
        kernels.sort_by(|a, b| a.name.cmp(&b.name));
        kernels
    }

    fn read(&self, name: &str) -> Result<Cached, String> {
        let folder = self.kernels_folder().join(name);
        let path = folder.join("kernel.json");
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest =
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Cached { name: name.to_owned(), manifest, folder })
    }

    /// A kernel by its name.
    pub fn kernel(&self, name: &str) -> Result<Cached, Unavailable> {
        self.read(name).map_err(|why| {
            let advice = if sources().iter().any(|source| source.name == name) {
                format!("`bpftwin kernels fetch {name}` gets it")
            } else {
                "`bpftwin kernels list` names those there are; `bpftwin kernels add` takes any".to_owned()
            };
            Unavailable { why: format!("kernel {name} is not in the cache: {why}"), advice }
        })
    }

    /// Puts a kernel into the cache, in place of one with that name. `modules` is its folder in `/lib/modules`; `None`: all
    /// it needs is built in.
    pub fn add(
        &self,
        name: &str,
        vmlinuz: &Path,
        modules: Option<&Path>,
        from: Vec<String>,
    ) -> Result<Cached, String> {
        check_name(name)?;
        let image = fs::read(vmlinuz).map_err(|error| format!("{}: {error}", vmlinuz.display()))?;
        let release = release_of(&image).ok_or_else(|| format!("{}: not a bzImage", vmlinuz.display()))?;
        let modules = modules.map(modules::needed).transpose()?.unwrap_or_default();
        let sha256 = hex(&Sha256::digest(&image));
        let names = modules.iter().map(|module| module.name.clone()).collect();
        let manifest = Manifest { release, from, sha256, modules: names };
        let folder = self.kernels_folder().join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        // Without its description it is no kernel, so that a half-written one is none.
        let _ = fs::remove_file(folder.join("kernel.json"));
        let _ = fs::remove_dir_all(folder.join("modules"));
        fs::create_dir_all(folder.join("modules")).map_err(failed)?;
        fs::write(folder.join("vmlinuz"), &image).map_err(failed)?;
        for module in &modules {
            fs::write(folder.join("modules").join(&module.name), &module.content).map_err(failed)?;
        }
        let json = serde_json::to_string_pretty(&manifest).expect("every key is a string");
        fs::write(folder.join("kernel.json"), json + "\n").map_err(failed)?;
        Ok(Cached { name: name.to_owned(), manifest, folder })
    }

    /// Whether `/dev/kvm` was found not to work since this machine started.
    pub fn kvm_fails(&self) -> bool {
        fs::read_to_string(self.folder.join("kvm-fails")).is_ok_and(|boot| boot == boot_id())
    }

    /// Remembers that it does not.
    pub fn remember_kvm_fails(&self) -> Result<(), String> {
        let path = self.folder.join("kvm-fails");
        fs::write(&path, boot_id()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What tells one start of this machine from the next: `random(4)`.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A name is part of `prog-run@NAME` and the name of a folder.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if name.chars().all(fine) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(format!("\"{name}\" is no name for a kernel: letters, digits, and . _ - + after the first"))
    }
}

/// The first word of the version string of a bzImage: `Documentation/arch/x86/boot.rst`, `kernel_version`, v6.12.
fn release_of(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = 0x200 + usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?));
    let text = image.get(at..)?.split(|&byte| byte == 0).next()?;
    String::from_utf8_lossy(text).split_whitespace().next().map(str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_catalogue_can_be_read() {
        let sources = sources();
        assert!(sources.iter().all(|source| check_name(&source.name).is_ok()));
        assert!(sources.iter().any(|source| source.name == "6.12"));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "..", "a/b", "-x", "6.12 "] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["6.12", "my-build_3", "6.12.117+deb12"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_kernel_image_says_its_release() {
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e] = 0x50;
        image[0x250..0x250 + 20].copy_from_slice(b"6.12.117-x (a@b) #1\0");
        assert_eq!(release_of(&image).as_deref(), Some("6.12.117-x"));
        image[0x202] = 0;
        assert_eq!(release_of(&image), None);
    }
}
