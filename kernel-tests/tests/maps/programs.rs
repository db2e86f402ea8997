//! Programs over maps that hold sockets, storage of sockets and cgroups, and SYN cookies: the same instructions on the
//! simulator and on the running kernel, with sockets that both have.

use bpftwin_sim::bpf::load::HelperUse;
use bpftwin_sim::bpf::map::{Reference, TailCallee};
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net;
use bpftwin_sim::net::helper;
use bpftwin_sim::uapi::map::BPF_F_NO_PREALLOC;
use bpftwin_sim::uapi::{AttachType, MapType, ProgType};

use super::rig::{CGROUP, Rig, SK_LOOKUP, TC, TCP_LISTEN, XDP, sockets, with_key};
use super::twin::{spec, typed};

#[test]
fn sockets_out_of_maps() {
    for map_type in [MapType::Sockmap, MapType::Sockhash] {
        let mut rig = Rig::new(&[spec(map_type, 4, 8, 16, 0)]);
        let all = sockets();
        let mut kept = Vec::new();
        for (key, (real, described)) in all.iter().enumerate() {
            let sim = rig.socket(described);
            if rig.put(0, key as u32, (real, sim)) {
                kept.push((key as u32, described));
            }
        }
        assert!(kept.len() >= 4, "most are in the map");
        for kind in [TC, XDP, CGROUP] {
            rig.agree(
                kind,
                &format!(
                    "{}; call 1; if r0 == 0 goto +2; r1 = r0; call 86; r0 = 1; exit",
                    with_key("map0", 15)
                ),
            );
            for &(key, described) in &kept {
                let find = format!(
                    "{}; call 1; if r0 == 0 goto none; r6 = r0; r7 = value ll",
                    with_key("map0", key)
                );
                let end = "r1 = r6; call 86; *(u64 *)(r7 +128) = r0; none: r0 = 1; exit"
                    .replace("none:", "\nnone:\n");
                // bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_port, dst_ip4, state, the queue
                let fields = [0, 4, 8, 12, 16, 20, 24, 44, 52, 72, 76];
                let read = |at: &i32| format!("r0 = *(u32 *)(r6 +{at}); *(u32 *)(r7 +{at}) = r0");
                let reads = fields.iter().map(read).collect::<Vec<_>>().join("; ");
                let port = "r0 = *(u16 *)(r6 +48); *(u16 *)(r7 +48) = r0";
                rig.agree(kind, &format!("{find}; {reads}; {port}; {end}"));
                if kind == TC {
                    for flags in [0, 1] {
                        let assign =
                            format!("r1 = r8; r2 = r6; r3 = {flags}; call 124; *(u64 *)(r7 +0) = r0");
                        rig.agree(kind, &format!("r8 = r1; {find}; {assign}; {end}"));
                    }
                }
                let tcp = described.protocol == libc::IPPROTO_TCP as u16;
                // sk_fullsock, tcp_sock, get_listener_sock; then the skc_to_ family.
                let mut asked = vec![136, 137, 138, 139, 140, 178];
                if kind != XDP {
                    asked.extend([95, 98]);
                    asked.extend((!tcp).then_some(96));
                }
                for helper in asked {
                    let ask = format!("r1 = r6; call {helper}; if r0 == 0 goto +1; *(u64 *)(r7 +0) = 1");
                    rig.agree(kind, &format!("{find}; {ask}; {end}"));
                }
            }
        }
        for (key, described) in &kept {
            if described.protocol == libc::IPPROTO_UDP as u16 || described.state == TCP_LISTEN {
                lookups(&mut rig, *key, described);
            }
        }
    }
}

/// A socket out of a map is selected for a connection, twice over.
fn lookups(rig: &mut Rig, key: u32, described: &net::Socket) {
    for (family, protocol) in [(2, 17), (2, 6), (10, 17)] {
        for (first, second) in [(0, 0), (0, 1), (2, 3), (4, 0), (2, 0)] {
            let mut ctx = [0; 72];
            (ctx[8], ctx[12]) = (family, protocol);
            let assign = |flags: u32, at: u32| {
                format!("r1 = r8; r2 = r6; r3 = {flags}; call 124; *(u64 *)(r7 +{at}) = r0")
            };
            for answer in [0, 1] {
                let text = format!(
                    "r8 = r1; {}; call 1; if r0 == 0 goto none; r6 = r0; r7 = value ll; {}; {};
                     r1 = *(u64 *)(r8 +0); if r1 == 0 goto +2; r0 = *(u32 *)(r1 +12); *(u64 *)(r7 +16) = r0;
                     r1 = r6; call 86; r0 = {answer}; exit
                     none:
                     r0 = 1; exit",
                    with_key("map0", key),
                    assign(first, 0),
                    assign(second, 8),
                );
                let (real, simulated) = rig.both(SK_LOOKUP, &text, &ctx, 2);
                assert_eq!(simulated, real, "{text}, {family} {protocol} {described:?}");
            }
        }
    }
}

#[test]
fn programs_change_maps_of_sockets() {
    for map_type in [MapType::Sockmap, MapType::Sockhash] {
        for kind in [TC, XDP] {
            let mut rig = Rig::new(&[spec(map_type, 4, 8, 3, 0)]);
            let all = sockets();
            for (key, (real, described)) in all.iter().enumerate() {
                let sim = rig.socket(described);
                rig.put(0, key as u32 % 3, (real, sim));
            }
            for from in 0..3 {
                for (to, flags) in [(0, 0), (1, 1), (2, 2), (3, 0), (1, 2), (2, 3), (0, 1 << 3), (5, 2)] {
                    let text = format!(
                        "{}; call 1; if r0 == 0 goto none; r6 = r0; r7 = value ll; *(u32 *)(r10 -4) = {to};
                         r1 = map0 ll; r2 = r10; r2 += -4; r3 = r6; r4 = {flags}; call 2; *(u64 *)(r7 +0) = r0;
                         r1 = r6; call 86
                         none:
                         r0 = 1; exit",
                        with_key("map0", from)
                    );
                    rig.agree(kind, &text);
                }
            }
            for key in [0, 1, 0, 7] {
                let text = format!(
                    "{}; call 3; r7 = value ll; *(u64 *)(r7 +0) = r0; r0 = 1; exit",
                    with_key("map0", key)
                );
                rig.agree(kind, &text);
                rig.agree(
                    kind,
                    &format!(
                        "{}; call 1; if r0 == 0 goto +2; r1 = r0; call 86; r0 = 1; exit",
                        with_key("map0", key)
                    ),
                );
            }
        }
    }
}

/// Events without a packet, into slots that are empty or not there.
#[test]
fn events_of_lookups() {
    let mut rig = Rig::new(&[spec(MapType::PerfEventArray, 4, 4, 2, 0)]);
    let mut ctx = [0; 72];
    (ctx[8], ctx[12]) = (2, 17);
    for flags in ["0", "1", "2", "0xffffffff ll", "0x100000000 ll", "-1"] {
        for size in [0, 8] {
            let text = format!(
                "r6 = value ll; r2 = map0 ll; r3 = {flags}; r4 = r6; r4 += 64; r5 = {size}; call 25; *(u64 *)(r6 +0) = r0;
                 r0 = 1; exit"
            );
            let (real, simulated) = rig.both(SK_LOOKUP, &text, &ctx, 1);
            assert_eq!(simulated, real, "{text}");
        }
    }
}

/// The packet's own socket, which is in no map and of no protocol, in `r6`; `r7` is `out`.
fn with_sk(then: &str) -> String {
    format!("r6 = *(u64 *)(r1 +168); r7 = value ll; if r6 == 0 goto none; {then}\nnone:\nr0 = 1; exit")
}

#[test]
fn the_socket_of_the_packet() {
    let mut rig = Rig::new(&[spec(MapType::Sockmap, 4, 4, 3, 0), spec(MapType::Sockhash, 4, 8, 3, 0)]);
    for map in ["map0", "map1"] {
        for flags in [0, 1, 2, 9] {
            let update = format!("{}; r3 = r6; r4 = {flags}; call 2; *(u64 *)(r7 +0) = r0", with_key(map, 1));
            let text = format!("r1 = r6; call 95; if r0 == 0 goto none; r6 = r0; {update}");
            rig.agree(TC, &with_sk(&text));
        }
    }
    for helper in [95, 96, 98, 136, 137, 138, 139, 140, 178, 196] {
        let ask = format!("r1 = r6; call {helper}; if r0 == 0 goto +1; *(u64 *)(r7 +0) = 1");
        rig.agree(TC, &with_sk(&ask));
        rig.agree(CGROUP, &with_sk(&ask));
    }
}

#[test]
fn storage_of_the_packets_socket() {
    let storage = typed(spec(MapType::SkStorage, 4, 8, 0, BPF_F_NO_PREALLOC));
    let mut rig = Rig::new(&[storage.clone(), storage]);
    let get = |map: u32, value: &str, flags: i64, at: u32| {
        format!(
            "r1 = map{map} ll; r2 = r6; r3 = {value}; r4 = {flags}; call 107; if r0 == 0 goto +4; r1 = *(u64 *)(r0 +0);
             *(u64 *)(r7 +{at}) = r1; r1 += 1; *(u64 *)(r0 +0) = r1"
        )
    };
    let own = "*(u64 *)(r10 -16) = 7";
    let delete = |map: u32, at: u32| format!("r1 = map{map} ll; r2 = r6; call 108; *(u64 *)(r7 +{at}) = r0");
    let on_stack = "r10; r3 += -16";
    let steps = [
        get(0, "0", 0, 0),
        format!("{own}; {}", get(0, on_stack, 1, 0)),
        format!("{own}; {}; {}", get(0, on_stack, 1, 0), get(0, "0", 0, 8)),
        format!("{}; {}", get(0, "0", 1, 0), get(0, "0", 0, 8)),
        format!("{own}; {}; {}", get(0, on_stack, 2, 0), get(0, on_stack, -1, 8)),
        format!("{own}; {}; {}", get(1, on_stack, 1, 0), get(0, "0", 0, 8)),
        delete(0, 0),
        format!("{}; {}; {}", get(0, "0", 1, 0), delete(0, 8), delete(0, 16)),
        format!("{}; {}; {}", get(0, "0", 1, 0), delete(1, 8), get(0, "0", 0, 16)),
    ];
    for kind in [TC, CGROUP] {
        for step in &steps {
            for repeat in [1, 3] {
                let (real, simulated) = rig.both(kind, &with_sk(step), &[], repeat);
                assert_eq!(simulated, real, "{step}, {repeat} times");
            }
        }
    }
}

#[test]
fn storage_of_cgroups() {
    for (map_type, key_size) in [(MapType::CgroupStorage, 8), (MapType::PercpuCgroupStorage, 16)] {
        let mut rig = Rig::new(&[spec(map_type, key_size, 16, 0, 0)]);
        let count = "r1 = map0 ll; r2 = 0; call 81; r1 = *(u64 *)(r0 +8); r1 += 3; *(u64 *)(r0 +8) = r1; r7 = value ll;
                     *(u64 *)(r7 +0) = r1; r0 = 1; exit";
        for repeat in [1, 4, 1] {
            let (real, simulated) = rig.both(CGROUP, count, &[], repeat);
            assert_eq!(simulated, real, "{map_type}, {repeat} times");
        }
    }
    let mut rig = Rig::new(&[typed(spec(MapType::CgrpStorage, 4, 8, 0, BPF_F_NO_PREALLOC))]);
    for flags in [0, 1, 2] {
        let get = format!(
            "r1 = map0 ll; r2 = 0; r3 = 0; r4 = {flags}; call 210; r7 = value ll; if r0 == 0 goto +1; *(u64 *)(r7 +0) = 1;
             r1 = map0 ll; r2 = 0; call 211; *(u64 *)(r7 +8) = r0; r0 = 1; exit"
        );
        rig.agree(TC, &get);
        rig.agree(XDP, &get);
    }
}

/// Who may be in a prog array after whom.
#[test]
fn programs_that_share_a_prog_array() {
    let storage = |map_type| spec(map_type, 16, 8, 0, 0);
    let rig = || {
        Rig::new(&[
            spec(MapType::ProgArray, 4, 4, 8, 0),
            storage(MapType::CgroupStorage),
            storage(MapType::CgroupStorage),
            storage(MapType::PercpuCgroupStorage),
            spec(MapType::ProgArray, 4, 4, 8, 0),
        ])
    };
    let stores = |map: u32| format!("r1 = map{map} ll; r2 = 0; call 81; r0 = 1; exit");
    let (plain, on) = ("r0 = 1; exit".to_owned(), "r2 = map4 ll; r3 = 0; call 12; r0 = 1; exit".to_owned());
    let both = "r1 = map1 ll; r2 = 0; call 81; r1 = map3 ll; r2 = 0; call 81; r0 = 1; exit".to_owned();
    let texts = [plain.clone(), on, stores(1), stores(2), stores(3), both];
    let egress = (ProgType::CgroupSkb, AttachType::CgroupInetEgress);
    let tcx = (ProgType::SchedCls, AttachType::TcxIngress);
    let mut programs: Vec<_> = texts.into_iter().map(|text| (CGROUP, text)).collect();
    programs.extend([(egress, plain.clone()), (TC, plain.clone()), (tcx, plain.clone()), (XDP, plain)]);
    for first in &programs {
        for second in &programs {
            let mut rig = rig();
            for (key, (kind, text)) in [first, second].into_iter().enumerate() {
                let fd = rig.load(*kind, text).unwrap_or_else(|log| panic!("{text}\n{log}"));
                let key = (key as u32).to_le_bytes();
                let real = rig.maps[0].1.update(&key, &fd.raw().to_le_bytes(), 0);
                let used = (0..rig.maps.len()).filter(|map| text.contains(&format!("map{map} ")));
                let maps = used.map(|map| rig.maps[map].0).collect();
                let image = Image { maps, ..rig.image(*kind, text) };
                let machine = &mut rig.simulated.machine;
                let prog = machine.add_program(Program::new(image).expect("decodes"));
                let program = Reference::Program(TailCallee::of(machine, prog));
                let simulated = machine.maps.sys_update_reference(rig.maps[0].0, &key, program, 0);
                assert_eq!(simulated, real, "{first:?} then {second:?}");
            }
        }
    }
}

/// Which maps a program of which type may be loaded with: what the verifier says of map and function, and nothing else.
#[test]
fn maps_that_programs_may_be_given() {
    let types = [
        TC,
        XDP,
        CGROUP,
        SK_LOOKUP,
        (ProgType::SocketFilter, AttachType::CgroupInetIngress),
        (ProgType::LwtXmit, AttachType::CgroupInetIngress),
        (ProgType::SockOps, AttachType::CgroupSockOps),
        (ProgType::SkMsg, AttachType::SkMsgVerdict),
        (ProgType::SkReuseport, AttachType::SkReuseportSelect),
        (ProgType::FlowDissector, AttachType::FlowDissector),
        (ProgType::CgroupSockAddr, AttachType::CgroupInet4Connect),
    ];
    let maps = [
        (MapType::Array, 8),
        (MapType::Hash, 8),
        (MapType::PercpuArray, 8),
        (MapType::LruHash, 8),
        (MapType::Devmap, 4),
        (MapType::DevmapHash, 4),
        (MapType::Cpumap, 4),
        (MapType::Xskmap, 4),
        (MapType::Sockmap, 4),
        (MapType::Sockhash, 8),
        (MapType::ReuseportSockarray, 8),
        (MapType::CgroupArray, 4),
        (MapType::PerfEventArray, 4),
        (MapType::ProgArray, 4),
    ];
    for (map_type, value_size) in maps {
        let max_entries = if map_type == MapType::PerfEventArray { 1 } else { 4 };
        let rig = Rig::new(&[spec(map_type, 4, value_size, max_entries, 0)]);
        for kind in types {
            for (number, rest) in [(1, ""), (2, "r3 = r10; r3 += -16; r4 = 0"), (3, "")] {
                // Of sockets, the verifier asks for one as the value before it looks at the map.
                let sockets = matches!(map_type, MapType::Sockmap | MapType::Sockhash);
                if sockets && number == 2 {
                    continue;
                }
                let key = with_key("map0", 0);
                let text = format!("*(u64 *)(r10 -16) = 0; {key}; {rest}; call {number}; r0 = 1; exit");
                let log = rig.load(kind, &text.replace("; ;", ";")).err().unwrap_or_default();
                let refused =
                    ["cannot pass map_type", "write into map forbidden"].iter().any(|why| log.contains(why));
                let used = HelperUse {
                    program: "main",
                    prog_type: kind.0,
                    attach_type: Some(kind.1),
                    helper: number,
                    slot: 0,
                    line: None,
                    maps: [Some(map_type), None, None, None, None],
                };
                let simulated = helper::check_maps(&used);
                assert_eq!(
                    simulated.is_err(),
                    refused,
                    "{} {map_type} {number}: {simulated:?}\n{log}",
                    kind.0
                );
            }
        }
    }
}
