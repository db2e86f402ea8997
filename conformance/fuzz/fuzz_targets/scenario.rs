//! Any text as a scenario, resolved with the bundled objects and captures.

#![no_main]

use std::path::Path;

use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Files of this machine, devices among them, are not what is tested.
    if text.contains("/dev/") || text.contains("/proc/") {
        return;
    }
    match Scenario::parse("fuzz.toml", text) {
        Ok(scenario) => drop(resolve(&scenario, &Library::beside(Path::new("no-such-folder")))),
        Err(mistakes) => assert!(!mistakes.list.is_empty(), "refused without a reason"),
    }
});
