//! Debian's kernels by the system's own apt: as an ordinary user, with state of its own, from the archive the system is
//! configured for. apt checks signatures and hashes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Cache, Cached, Source};

/// The keys of Debian's archive.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A folder that goes when this does.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is seen by the user; nothing here depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Downloads, unpacks and adds a kernel.
pub fn fetch(source: &Source, cache: &Cache) -> Result<Cached, String> {
    let scratch = Scratch(cache.folder.join(format!("fetch-{}", std::process::id())));
    let apt = Apt::new(&scratch.0, source)?;
    apt.run("apt-get", &["update"])?;
    let packages = apt.with_dependencies(&source.package)?;
    let names: Vec<&str> = packages.iter().map(|(name, _)| name.as_str()).collect();
    apt.run("apt-get", &[&["download"], &names[..]].concat())?;
    let root = scratch.0.join("root");
    for file in entries(&apt.downloads)? {
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&root))?;
    }
    let modules = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder));
    let modules = modules.iter().find(|folder| folder.is_dir()).map(|folder| entries(folder)).transpose()?;
    let modules = modules.and_then(|folders| folders.into_iter().next());
    // In `/boot`, or from 7 on beside the modules.
    let folders = [Some(root.join("boot")), modules.clone()];
    let files = folders.iter().flatten().filter_map(|folder| entries(folder).ok()).flatten();
    let is_image =
        |file: &PathBuf| file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"));
    let image = { files }.find(is_image).ok_or_else(|| format!("{names:?} hold no kernel image"))?;
    let from =
        packages.iter().map(|(name, version)| format!("{name} {version} ({})", source.suite)).collect();
    cache.add(&source.name, &image, modules.as_deref(), from)
}

/// What is in a folder, in order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// apt with one suite and a state of its own.
struct Apt {
    downloads: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, source: &Source) -> Result<Self, String> {
        let downloads = folder.join("packages");
        for made in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(made))
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let (list, status) = (folder.join("sources.list"), folder.join("status"));
        let line = format!("deb [signed-by={KEYS}] {} {} main\n", archive(&source.suite)?, source.suite);
        fs::write(&list, line).map_err(|error| format!("{}: {error}", list.display()))?;
        fs::write(&status, "").map_err(|error| format!("{}: {error}", status.display()))?;
        let path = |name: &str| folder.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", path("lists")),
            format!("Dir::State::status={}", status.display()),
            format!("Dir::Cache={}", path("cache")),
            "Acquire::Languages=none".to_owned(),
            // As root, apt downloads as a user who may not write here.
            "APT::Sandbox::User=".to_owned(),
        ];
        Ok(Self { downloads, options: options.into_iter().flat_map(|o| ["-o".to_owned(), o]).collect() })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        run(Command::new(program).arg("-q").args(&self.options).args(arguments).current_dir(&self.downloads))
    }

    /// The packages with parts of the kernel that a package is or depends on, and their versions.
    fn with_dependencies(&self, package: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        let mut open = vec![package.to_owned()];
        while let Some(package) = open.pop() {
            let said = self.run("apt-cache", &["show", "--no-all-versions", &package])?;
            let field =
                |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let parts = kernel_packages(field("Depends: "));
            // One that depends on an image holds none.
            if !parts.iter().any(|part| part.starts_with("linux-image-")) {
                found.push((package, field("Version: ").to_owned()));
            }
            open.extend(parts);
        }
        Ok(found)
    }
}

/// The names in a field `Depends` that are parts of a kernel.
fn kernel_packages(depends: &str) -> Vec<String> {
    let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    let is_part = |name: &&str| {
        ["linux-image-", "linux-modules-", "linux-binary-"].iter().any(|start| name.starts_with(start))
    };
    names.filter(is_part).map(str::to_owned).collect()
}

/// The configured archive that has a suite of this kind.
fn archive(suite: &str) -> Result<String, String> {
    let targets = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(ORIGIN)",
        "Created-By: Packages",
    ]))?;
    archive_in(&targets, suite)
        .ok_or_else(|| format!("this system's apt is configured for no Debian archive with {suite}"))
}

fn archive_in(targets: &str, suite: &str) -> Option<String> {
    let security = |suite: &str| suite.ends_with("-security");
    let debian = |line: &&str| line.contains("/debian");
    let wanted = targets.lines().filter(debian).find(|line| {
        line.split_whitespace().nth(1).is_some_and(|release| security(release) == security(suite))
    })?;
    wanted.split_whitespace().next().map(str::to_owned)
}

/// Runs a program; what it says, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.env("LC_ALL", "C").output().map_err(|error| format!("{name} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{name} {}: {said}", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_of_a_suite_that_is_not_configured() {
        let targets = "http://a.example/other x-y\nhttp://d.example/debian/ bookworm\n\
                       http://d.example/debian-security/ bookworm-security\n";
        assert_eq!(archive_in(targets, "sid").as_deref(), Some("http://d.example/debian/"));
        assert_eq!(
            archive_in(targets, "bullseye-security").as_deref(),
            Some("http://d.example/debian-security/")
        );
        assert_eq!(archive_in("http://u.example/ubuntu noble\n", "sid"), None);
    }

    #[test]
    fn only_parts_of_the_kernel_are_followed() {
        let depends = "linux-image-7.2.12-cloud-amd64 (= 7.2.12-1), linux-modules-7.2.12-amd64, kmod, initramfs-tools | x";
        assert_eq!(
            kernel_packages(depends),
            ["linux-image-7.2.12-cloud-amd64", "linux-modules-7.2.12-amd64"]
        );
    }
}
