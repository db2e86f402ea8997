//! A case as a scenario file and a capture, for `bpftwin compare`.

use std::fmt::Write as _;

use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::wire::pcap::{Record, Writer};

use super::packets::Target;
use crate::case::{Case, MapValue, RouteKind};
use crate::ctx;
use crate::layout::{Layout, Member};

/// The scenario's text and its capture, which is to be called `NAME.pcapng`. `object` is the object's path as the
/// scenario is to give it, `title` what it is about.
pub fn write(case: &Case, target: &Target, object: &str, name: &str, title: &str) -> (String, Vec<u8>) {
    let mut out = String::from("[scenario]\n");
    let _ = writeln!(out, "title = {}", quoted(title));
    let _ = writeln!(out, "objects = {{ o = {} }}", quoted(object));
    let _ = writeln!(out, "program = {}", quoted(&target.program));
    for typed in &target.image.types {
        if let Some(known) = ProgType::ALL.iter().find(|known| **known as u32 == typed.prog_type) {
            let name = known.kernel_name().trim_start_matches("BPF_PROG_TYPE_").to_lowercase();
            let _ = writeln!(out, "types.{} = {}", quoted(&typed.program), quoted(&name));
        }
    }
    for sized in &target.image.sizes {
        let _ = writeln!(out, "max_entries.{} = {}", quoted(&sized.map), sized.max_entries);
    }
    for ignore in &target.ignores {
        let (field, reason) = (quoted(&ignore.field), quoted(&ignore.reason));
        let _ = write!(out, "\n[[ignore]]\nfield = {field}\nreason = {reason}\n");
    }
    network(&mut out, case);
    for write in &case.maps {
        let MapValue::Bytes(value) = &write.value else { continue };
        let _ = write!(out, "\n[[map]]\nname = {}\n", quoted(&write.map));
        let _ = writeln!(out, "entries = [{{ key = \"hex:{}\", value = \"hex:{value}\" }}]", write.key);
    }
    let mut writer = Writer::new();
    let interface = writer.interface("in");
    let mut number = 0;
    for run in &case.runs {
        let _ = write!(out, "\n[[packet]]\nname = {}\n", quoted(&run.name));
        if run.data.is_empty() {
            out.push_str("hex = \"\"\n");
        } else {
            number += 1;
            writer.packet(&Record {
                interface,
                time_ns: number,
                data: &run.data,
                comment: Some(&run.name),
                packet_id: None,
                verdict: None,
            });
            let _ = writeln!(out, "pcap = {}", quoted(&format!("{name}.pcapng#{number}")));
        }
        let members = context(target, &run.ctx);
        if !members.is_empty() {
            let _ = writeln!(out, "ctx = {{ {} }}", members.join(", "));
        }
    }
    (out, writer.into_bytes())
}

/// The members of a context that are not zero.
fn context(target: &Target, bytes: &[u8]) -> Vec<String> {
    let Some(Layout::Struct { members, .. }) = ctx::layout(target.prog_type) else { return Vec::new() };
    let member = |member: &Member| {
        let start = member.bit_offset as usize / 8;
        let value = bytes.get(start..start + member.layout.size() as usize)?;
        let hex = crate::bytes::Bytes(value.to_vec());
        value.iter().any(|byte| *byte != 0).then(|| format!("{} = \"hex:{hex}\"", member.name))
    };
    members.iter().filter_map(member).collect()
}

fn network(out: &mut String, case: &Case) {
    for device in &case.network.devices {
        let addresses: Vec<String> = device.addresses.iter().map(|address| quoted(address)).collect();
        let mac: Vec<String> = device.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(out, "\n[[network.device]]\nname = {}\n", quoted(&device.name));
        let _ =
            writeln!(out, "ifindex = {}\nmac = \"{}\"\nmtu = {}", device.ifindex, mac.join(":"), device.mtu);
        let _ = writeln!(out, "addresses = [{}]\nforwarding = {}", addresses.join(", "), device.forwarding);
    }
    for route in &case.network.routes {
        let kind = match route.kind {
            RouteKind::Unicast => "unicast",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
        };
        let _ = write!(out, "\n[[network.route]]\nto = {}\nkind = \"{kind}\"\n", quoted(&route.to));
        for (name, value) in [("via", &route.via), ("dev", &route.dev)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{name} = {}", quoted(value));
            }
        }
    }
    for neighbour in &case.network.neighbours {
        let mac: Vec<String> = neighbour.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(out, "\n[[network.neighbour]]\naddress = {}\n", quoted(&neighbour.address));
        let _ = writeln!(out, "mac = \"{}\"\ndev = {}", mac.join(":"), quoted(&neighbour.dev));
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
