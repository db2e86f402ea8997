//! The reference datapath objects: BPF C under `bpf/`, compiled by `build.sh` into `prebuilt/`, embedded here.
//!
//! A scenario names one as `datapath:NAME`; [`object`] is what resolves that.

/// One embedded object file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    /// The name behind `datapath:`.
    pub name: &'static str,
    /// One line on what it does.
    pub about: &'static str,
    /// The ELF file, little-endian `EM_BPF` with BTF.
    pub bytes: &'static [u8],
    /// The programs a hook can attach, by C name; stages they tail-call are not listed.
    pub entries: &'static [&'static str],
    /// What it exercises, one word each.
    pub features: &'static [&'static str],
}

/// `prebuilt/SHA256SUMS`, as `sha256sum` writes it.
const DIGESTS: &str = include_str!("../prebuilt/SHA256SUMS");

/// Every object, sorted by name.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "hooks",
        about: "a host beside its packets: connections, socket options, sysctls, streams, segment routing",
        bytes: include_bytes!("../prebuilt/hooks.o"),
        entries: &[
            "connect4",
            "set_option",
            "sock_create",
            "write_sysctl",
            "tcp_events",
            "check_message",
            "pick_socket",
            "stream_parser",
            "stream_verdict",
            "tag_segment",
            "local_only",
            "add_to_counter",
        ],
        features: &[
            "cgroup",
            "header-options",
            "netfilter",
            "segment-routing",
            "sk-msg",
            "sk-reuseport",
            "sk-skb",
            "sock-ops",
            "socket-options",
            "syscall",
            "sysctl",
        ],
    },
    Object {
        name: "steer",
        about: "one decision for every frame, told by constants: verdicts, redirects, metadata",
        bytes: include_bytes!("../prebuilt/steer.o"),
        entries: &["steer", "steer_xdp"],
        features: &["redirect", "verdicts", "vlan"],
    },
    Object {
        name: "veth",
        about: "pod datapath at the host side of a veth: policy, connection tracking, services",
        bytes: include_bytes!("../prebuilt/veth.o"),
        entries: &["from_container", "to_container"],
        features: &[
            "arp",
            "cidr",
            "conntrack",
            "drop-events",
            "fib",
            "fragments",
            "icmp-errors",
            "ipv4",
            "ipv6",
            "metrics",
            "ndp",
            "policy",
            "services",
            "tail-calls",
        ],
    },
    Object {
        name: "xdp_prefilter",
        about: "first program behind the wire: deny lists, rate limits, L4 load balancing",
        bytes: include_bytes!("../prebuilt/xdp_prefilter.o"),
        entries: &["xdp_prefilter"],
        features: &[
            "cidr",
            "consistent-hashing",
            "dsr",
            "gue",
            "ipip",
            "ipv4",
            "ipv6",
            "map-in-map",
            "metrics",
            "rate-limit",
            "too-big",
            "vlan",
        ],
    },
];

/// The object called `name`, such as `veth`.
pub fn object(name: &str) -> Option<&'static Object> {
    OBJECTS.iter().find(|prebuilt| prebuilt.name == name)
}

impl Object {
    /// The SHA-256 of [`bytes`](Self::bytes), 64 lower-case hexadecimal digits, as recorded when it was built.
    pub fn sha256(&self) -> &'static str {
        DIGESTS
            .lines()
            .find_map(|line| {
                let (digest, file) = line.split_once("  ")?;
                (file.strip_suffix(".o") == Some(self.name)).then_some(digest)
            })
            .expect("build.sh records every object")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ::object::{Object as _, ObjectSection, ObjectSymbol};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn digests_are_those_of_the_embedded_bytes() {
        for prebuilt in OBJECTS {
            let recorded: Vec<u8> = (0..64)
                .step_by(2)
                .map(|at| u8::from_str_radix(&prebuilt.sha256()[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(Sha256::digest(prebuilt.bytes).as_slice(), recorded, "{}", prebuilt.name);
        }
        assert_eq!(DIGESTS.lines().count(), OBJECTS.len(), "an object is recorded but not in the list");
    }

    #[test]
    fn the_list_is_sorted_and_says_what_it_holds() {
        assert!(OBJECTS.is_sorted_by(|a, b| a.name < b.name));
        for prebuilt in OBJECTS {
            assert!(prebuilt.features.is_sorted_by(|a, b| a < b), "{}", prebuilt.name);
            assert_eq!(object(prebuilt.name), Some(prebuilt));
        }
        assert_eq!(object("no-such-object"), None);
    }

    #[test]
    fn objects_hold_their_entries_btf_and_no_dwarf() {
        for prebuilt in OBJECTS {
            let file = ::object::File::parse(prebuilt.bytes).unwrap();
            let functions: BTreeSet<&str> = file
                .symbols()
                .filter(|symbol| symbol.kind() == ::object::SymbolKind::Text && symbol.is_global())
                .map(|symbol| symbol.name().unwrap())
                .collect();
            for entry in prebuilt.entries {
                assert!(functions.contains(entry), "{} has no {entry}", prebuilt.name);
            }
            let sections: BTreeSet<&str> = file.sections().map(|section| section.name().unwrap()).collect();
            assert!(sections.contains(".BTF") && sections.contains(".BTF.ext"), "{}", prebuilt.name);
            assert!(!sections.iter().any(|name| name.starts_with(".debug")), "{}", prebuilt.name);
        }
    }
}
