//! What programs saw on kernels 6.1, 6.12 and 6.18, on the simulator.

use super::{Answer, Room, TestRun, TestRunOut};
use crate::bpf::asm::assemble;
use crate::bpf::fault::FaultKind;
use crate::bpf::machine::ProgId;
use crate::bpf::program::{Image, Program};
use crate::net::{Config, Kernel};
use crate::uapi::{Errno, ProgType, Release};

/// Ethernet, IPv4 10.0.0.1 to 10.0.0.2, UDP, 74 bytes.
pub fn udp4() -> Vec<u8> {
    let mut p = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    p.extend([0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    p.extend([0x30, 0x39, 0, 80, 0, 40, 0, 0]);
    p.resize(74, 0xab);
    p
}

pub fn kernel(release: Release) -> Kernel {
    Kernel::new(&Config { release, ..Config::default() })
}

pub fn program(kernel: &mut Kernel, prog_type: ProgType, text: &str) -> ProgId {
    let assembly = assemble(text).unwrap();
    let image = Image {
        name: "main".into(),
        prog_type,
        attach_type: None,
        xdp_has_frags: false,
        license_gpl: true,
        slots: assembly.slots,
        functions: assembly.functions,
        lines: Vec::new(),
        maps: Vec::new(),
    };
    kernel.machine.add_program(Program::new(image).unwrap())
}

fn run(prog_type: ProgType, text: &str, test: &TestRun<'_>) -> Answer {
    let mut kernel = kernel(Release::V6_18);
    let prog = program(&mut kernel, prog_type, text);
    kernel.prog_test_run(prog, test).unwrap()
}

fn size(prog_type: ProgType, data_in: &[u8]) -> Option<Errno> {
    run(prog_type, "r0 = 0; exit", &TestRun { data_in, ..TestRun::default() }).err()
}

#[test]
fn skb_sizes_are_those_of_the_kernel() {
    use ProgType::{CgroupSkb, SchedCls, Xdp};
    let v4 = udp4();
    let mut v6 = v4.clone();
    v6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let mut other = vec![0; 73152];
    other[12] = 0x90;
    for (prog_type, data, want) in [
        (SchedCls, &v4[..0], Some(Errno::EINVAL)),
        (SchedCls, &v4[..13], Some(Errno::EINVAL)),
        (SchedCls, &v4[..33], Some(Errno::EINVAL)),
        (SchedCls, &v4[..34], None),
        (CgroupSkb, &v4[..33], Some(Errno::EINVAL)),
        (SchedCls, &v6[..53], Some(Errno::EINVAL)),
        (SchedCls, &v6[..54], None),
        (SchedCls, &other[..14], None),
        (SchedCls, &other[..3712], None),
        (SchedCls, &other[..3713], Some(Errno::EINVAL)),
        (Xdp, &other[..13], Some(Errno::EINVAL)),
        (Xdp, &other[..14], None),
        (Xdp, &other[..73152], None),
    ] {
        assert_eq!(size(prog_type, data), want, "{prog_type}, {} bytes", data.len());
    }
    other.push(0);
    assert_eq!(size(Xdp, &other), Some(Errno::ENOMEM));
}

#[test]
fn ctx_in_may_set_what_the_kernel_lets_it() {
    let data = udp4();
    for offset in (0..192).step_by(4) {
        let mut ctx = [0; 192];
        ctx[offset] = 1;
        if offset == 160 {
            ctx[offset] = 74;
        }
        let test = TestRun { data_in: &data, ctx_in: &ctx, ..TestRun::default() };
        let allowed = matches!(offset, 8 | 32 | 36 | 40 | 48..=64 | 152..=164 | 176 | 184 | 188);
        let got = run(ProgType::SchedCls, "r0 = 0; exit", &test);
        assert_eq!(got.is_ok(), allowed, "byte {offset}: {got:?}");
    }
    for (offset, value, want) in [
        (160, 73_u32, Errno::EINVAL),
        (160, 65537, Errno::EINVAL),
        (164, 65536, Errno::EINVAL),
        (40, 4242, Errno::ENODEV),
    ] {
        let mut ctx = [0; 192];
        ctx[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        let test = TestRun { data_in: &data, ctx_in: &ctx, ..TestRun::default() };
        assert_eq!(run(ProgType::SchedCls, "r0 = 0; exit", &test).err(), Some(want));
    }
}

const INCREMENT: &str = "
    r6 = r1
    r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80)
    r0 = 2; r4 = r2; r4 += 1; if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 0); r0 += 1; *(u8 *)(r2 + 0) = r0
    r5 = *(u32 *)(r6 + 8); r5 += 1; *(u32 *)(r6 + 8) = r5
    r5 = *(u32 *)(r6 + 48); r5 += 1; *(u32 *)(r6 + 48) = r5
    out:; exit";

#[test]
fn state_carries_over_from_one_repeat_to_the_next() {
    let data = udp4();
    let mut ctx = [0; 192];
    ctx[8] = 100;
    let test = TestRun { data_in: &data, ctx_in: &ctx, repeat: 10, ..TestRun::default() };
    let out = run(ProgType::SchedCls, INCREMENT, &test).unwrap();
    assert_eq!((out.retval, out.data[0], out.ctx[8], out.ctx[48]), (12, 12, 110, 10));
    assert_eq!((out.ctx[40], out.ctx[160], out.ctx_size, out.data_size), (1, 74, 192, 74));
    let test = TestRun { flags: super::BPF_F_TEST_SKB_CHECKSUM_COMPLETE, ..test };
    assert_eq!(run(ProgType::SchedCls, INCREMENT, &test).unwrap().data[0], 12);
}

#[test]
fn short_room_is_filled_and_said() {
    let data = udp4();
    let test = TestRun { data_in: &data, data_out: Room::Bytes(10), ..TestRun::default() };
    let out = run(ProgType::SchedCls, "r0 = 0; exit", &test).unwrap();
    assert_eq!((out.data.len(), out.data_size, out.no_space), (10, 74, true));
    let test = TestRun { data_in: &data, ctx_in: &[0; 192], ctx_out: Room::Bytes(16), ..TestRun::default() };
    let out = run(ProgType::SchedCls, "r0 = 0; exit", &test).unwrap();
    assert_eq!((out.ctx.len(), out.ctx_size, out.no_space), (16, 192, true));
    let test = TestRun { data_in: &data, ctx_in: &[0; 200], ..TestRun::default() };
    assert!(run(ProgType::SchedCls, "r0 = 0; exit", &test).is_ok());
    let mut long = [0; 200];
    long[199] = 1;
    let test = TestRun { data_in: &data, ctx_in: &long, ..TestRun::default() };
    assert_eq!(run(ProgType::SchedCls, "r0 = 0; exit", &test), Err(Errno::E2BIG));
}

/// Returns the word at `offset` of the context.
fn word(prog_type: ProgType, offset: u32, data_in: &[u8]) -> u32 {
    let text = format!("r0 = *(u32 *)(r1 + {offset}); exit");
    run(prog_type, &text, &TestRun { data_in, ..TestRun::default() }).unwrap().retval
}

#[test]
fn what_a_program_sees_of_a_packet() {
    // `wire_len` is filled in from a context only, even an empty one.
    let mut p = udp4();
    let tc = ProgType::SchedCls;
    assert_eq!((word(tc, 0, &p), word(tc, 16, &p), word(tc, 40, &p), word(tc, 160, &p)), (74, 8, 1, 0));
    assert_eq!(word(tc, 4, &p), 3);
    p[..6].fill(0);
    assert_eq!(word(tc, 4, &p), 0);
    p[..6].fill(0xff);
    assert_eq!(word(tc, 4, &p), 2);
    p[12..16].copy_from_slice(&[0x81, 0, 0, 5]);
    assert_eq!((word(tc, 16, &p), word(tc, 20, &p)), (0x81, 0));
    p[12..16].copy_from_slice(&[0, 60, 1, 1]);
    assert_eq!(word(tc, 16, &p), 0x400);
    p[14..16].fill(0xff);
    assert_eq!(word(tc, 16, &p), 0x100);
    // Such a program may answer 0 or 1 only.
    let p = udp4();
    for (offset, want) in [(0, 60), (88, 2), (92, 0x0200_000a), (96, 0x0100_000a)] {
        let text = format!("r2 = *(u32 *)(r1 + {offset}); r0 = 0; if r2 != {want} goto +1; r0 = 1; exit");
        let out = run(ProgType::CgroupSkb, &text, &TestRun { data_in: &p, ..TestRun::default() });
        assert_eq!(out.unwrap().retval, 1, "{offset}");
    }
}

#[test]
fn programs_above_l2_get_the_packet_back_behind_a_zeroed_header() {
    let data = udp4();
    let out = run(ProgType::CgroupSkb, "r0 = 1; exit", &TestRun { data_in: &data, ..TestRun::default() });
    let out = out.unwrap();
    assert_eq!((out.data.len(), &out.data[..14], out.data[14]), (74, &[0; 14][..], 0x45));
}

#[test]
fn direct_access_of_cgroup_skb_needs_a_new_kernel() {
    let text =
        "r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80); r0 = 0; if r2 > r3 goto out; r0 = 1; out:; exit";
    for (release, want) in [(Release::V6_1, 0), (Release::V6_12, 0), (Release::V6_18, 1)] {
        let mut kernel = kernel(release);
        let prog = program(&mut kernel, ProgType::CgroupSkb, text);
        let data = udp4();
        let out = kernel.prog_test_run(prog, &TestRun { data_in: &data, ..TestRun::default() });
        assert_eq!(out.unwrap().unwrap().retval, want, "{release}");
    }
}

#[test]
fn beyond_the_packet_is_a_fault() {
    let data = udp4();
    for (offset, inside) in [(-1, false), (0, true), (73, true), (74, false)] {
        let mut kernel = kernel(Release::V6_18);
        let text = format!("r2 = *(u32 *)(r1 + 76); r0 = *(u8 *)(r2 {offset:+}); exit");
        let prog = program(&mut kernel, ProgType::SchedCls, &text);
        let got = kernel.prog_test_run(prog, &TestRun { data_in: &data, ..TestRun::default() });
        assert_eq!(got.is_ok(), inside, "{offset}");
        if let Err(fault) = got {
            assert!(matches!(fault.kind, FaultKind::Access(_)));
        }
    }
}

/// `(data, data_end, other fields)` of `ctx_in` against a 74-byte packet.
fn xdp_ctx(words: [u32; 6]) -> Result<[u32; 3], Errno> {
    let ctx: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let data = udp4();
    let text = "r2 = *(u32 *)(r1 + 0); r0 = *(u32 *)(r1 + 4); r0 -= r2; exit";
    let out: TestRunOut =
        run(ProgType::Xdp, text, &TestRun { data_in: &data, ctx_in: &ctx, ..TestRun::default() })?;
    Ok([out.retval, super::get_u32(&out.ctx, 0), super::get_u32(&out.ctx, 4)])
}

#[test]
fn xdp_contexts_are_those_of_the_kernel() {
    for (ctx, want) in [
        ([0, 74, 0, 0, 0, 0], Ok([74, 0, 74])),
        ([0, 0, 0, 0, 0, 0], Ok([0, 0, 0])),
        ([8, 74, 0, 0, 0, 0], Ok([66, 8, 74])),
        ([7, 74, 0, 0, 0, 0], Err(Errno::EINVAL)),
        ([36, 74, 0, 0, 0, 0], Ok([38, 36, 74])),
        ([0, 74, 4, 0, 0, 0], Err(Errno::EINVAL)),
        ([0, 75, 0, 0, 0, 0], Err(Errno::EINVAL)),
        ([0, 70, 0, 0, 0, 0], Ok([70, 0, 70])),
        ([0, 74, 0, 0, 1, 0], Err(Errno::EINVAL)),
        ([0, 74, 0, 1, 0, 0], Ok([74, 0, 74])),
        ([0, 74, 0, 1, 1, 0], Err(Errno::EINVAL)),
        ([0, 74, 0, 4242, 0, 0], Err(Errno::ENODEV)),
        ([0, 74, 0, 0, 0, 1], Err(Errno::EINVAL)),
    ] {
        assert_eq!(xdp_ctx(ctx), want, "{ctx:?}");
    }
}

#[test]
fn a_long_frame_keeps_its_tail_in_fragments() {
    let data = vec![7; 9000];
    let text = "r2 = *(u32 *)(r1 + 0); r0 = *(u32 *)(r1 + 4); r0 -= r2; exit";
    let out = run(ProgType::Xdp, text, &TestRun { data_in: &data, ..TestRun::default() }).unwrap();
    assert_eq!((out.retval, out.data == data), (3520, true));
}

#[test]
fn a_flow_dissector_gives_its_keys_back_clamped() {
    let data = udp4();
    let text = "r2 = *(u64 *)(r1 +144); r3 = 65535; *(u16 *)(r2 +0) = r3; r0 = *(u16 *)(r2 +10); exit";
    let out = run(ProgType::FlowDissector, text, &TestRun { data_in: &data, ..TestRun::default() }).unwrap();
    assert_eq!((out.retval, out.data.len(), out.data[0], out.data[2]), (8, 56, 74, 74));
    let test = TestRun { data_in: &data, ctx_in: &[1; 56], ..TestRun::default() };
    assert_eq!(run(ProgType::FlowDissector, text, &test), Err(Errno::EINVAL));
}

#[test]
fn sk_lookup_wants_a_context_and_no_data() {
    let mut ctx = [0; 72];
    (ctx[8], ctx[60]) = (2, 80);
    let run = |ctx_in: &[u8], data_in: &[u8]| {
        let text = "r0 = *(u32 *)(r1 +60); r0 >>= 4; r0 &= 1; exit";
        run(ProgType::SkLookup, text, &TestRun { data_in, ctx_in, ..TestRun::default() })
            .map(|out| out.retval)
    };
    assert_eq!(run(&ctx, &[]), Ok(1));
    assert_eq!(run(&ctx, &[0; 14]), Err(Errno::EINVAL));
    assert_eq!(run(&[], &[]), Err(Errno::EINVAL));
    ctx[62] = 1;
    assert_eq!(run(&ctx, &[]), Err(Errno::ERANGE));
    (ctx[62], ctx[8]) = (0, 1);
    assert_eq!(run(&ctx, &[]), Err(Errno::EAFNOSUPPORT));
}

#[test]
fn some_types_may_only_read_packets() {
    let data = udp4();
    for (prog_type, writes) in [
        (ProgType::SchedCls, true),
        (ProgType::LwtXmit, true),
        (ProgType::LwtIn, false),
        (ProgType::CgroupSkb, false),
        (ProgType::FlowDissector, false),
    ] {
        let mut kernel = kernel(Release::V6_18);
        let text = "r2 = *(u32 *)(r1 +76); *(u8 *)(r2 +0) = 1; r0 = 0; exit";
        let prog = program(&mut kernel, prog_type, text);
        let got = kernel.prog_test_run(prog, &TestRun { data_in: &data, ..TestRun::default() });
        assert_eq!(got.is_ok(), writes, "{prog_type}");
    }
}
