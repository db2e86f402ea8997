//! Random programs on the simulator and on the kernel: a few helper calls and accesses to context and packet in a row,
//! on random packets. Whatever either side can see must be equal. Needs root.

mod step;
mod store;
mod twin;

use std::net::{Ipv4Addr, Ipv6Addr};

use bpftwin_sim::uapi::ProgType;
use proptest::prelude::*;
use step::{MOST, Step, steps};
use twin::Twin;

/// One question put to both sides.
#[derive(Clone, Debug)]
pub struct Question {
    prog_type: ProgType,
    steps: Vec<Step>,
    packet: Vec<u8>,
    ctx: Option<Vec<u8>>,
    repeat: u32,
    flags: u32,
}

/// Frames a datapath meets: each protocol with a little payload, VLAN tags, and bytes that mean nothing.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    let transport = prop::sample::select(vec![1u8, 6, 17, 47, 4, 41, 58, 132, 0]);
    (0..7u8, transport, payload, any::<u8>()).prop_map(|(kind, protocol, payload, tos)| {
        let ethernet = |ethertype: u16| {
            let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
            frame.extend_from_slice(&ethertype.to_be_bytes());
            frame
        };
        let ipv4 = |frame: &mut Vec<u8>| {
            let len = 20 + payload.len() as u16;
            frame.extend_from_slice(&[0x45, tos]);
            frame.extend_from_slice(&len.to_be_bytes());
            frame.extend_from_slice(&[0, 1, 0x40, 0, 64, protocol, 0x12, 0x34]);
            frame.extend_from_slice(&Ipv4Addr::new(10, 0, 0, 1).octets());
            frame.extend_from_slice(&Ipv4Addr::new(10, 0, 0, 2).octets());
        };
        let ipv6 = |frame: &mut Vec<u8>| {
            frame.extend_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 1]);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            frame.extend_from_slice(&[protocol, 64]);
            frame.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
            frame.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        };
        let mut frame;
        match kind {
            0 | 1 => {
                frame = ethernet(0x0800);
                ipv4(&mut frame);
            }
            2 | 3 => {
                frame = ethernet(0x86dd);
                ipv6(&mut frame);
            }
            4 => {
                frame = ethernet(0x8100);
                frame.extend_from_slice(&[tos, 7, 8, 0]);
                ipv4(&mut frame);
            }
            5 => frame = ethernet(0x88a8),
            _ => frame = ethernet(u16::from(tos)),
        }
        frame.extend_from_slice(&payload);
        frame
    })
}

/// A `struct __sk_buff` with what BPF_PROG_TEST_RUN takes.
fn skb_ctx() -> impl Strategy<Value = Vec<u8>> {
    let fields = [8usize, 32, 36, 40, 48, 52, 56, 60, 64, 152, 156, 160, 164, 176, 184];
    let values = prop_oneof![Just(0u32), Just(1), 2..2000u32, any::<u32>()];
    proptest::collection::vec((prop::sample::select(fields.to_vec()), values), 0..4).prop_map(|set| {
        let mut ctx = vec![0; 192];
        for (offset, value) in set {
            ctx[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        ctx
    })
}

fn skb_questions() -> impl Strategy<Value = Question> {
    let prog_type = prop_oneof![
        6 => Just(ProgType::SchedCls),
        1 => Just(ProgType::CgroupSkb),
        1 => Just(ProgType::SocketFilter),
        1 => prop::sample::select(vec![ProgType::LwtIn, ProgType::LwtOut, ProgType::LwtXmit, ProgType::SchedAct]),
    ];
    prog_type.prop_flat_map(|prog_type| {
        let flags = prop_oneof![5 => Just(0), 1 => Just(4u32)];
        let rest = (steps(prog_type), packets(), prop::option::of(skb_ctx()), 0..3u32, flags);
        rest.prop_map(move |(steps, packet, ctx, repeat, flags)| Question {
            prog_type,
            steps,
            packet,
            ctx,
            repeat,
            flags,
        })
    })
}

fn xdp_questions() -> impl Strategy<Value = Question> {
    let ctx = prop::option::of((0..20u32, prop_oneof![4 => Just(0u32), 1 => 0..400u32], 0..2u32));
    (steps(ProgType::Xdp), packets(), ctx, 0..3u32).prop_map(|(steps, packet, ctx, repeat)| {
        let ctx = ctx.map(|(metadata, cut, ifindex)| {
            let mut ctx = vec![0; 24];
            ctx[..4].copy_from_slice(&(metadata * 4).to_le_bytes());
            ctx[4..8].copy_from_slice(&(packet.len() as u32).saturating_sub(cut).to_le_bytes());
            ctx[12..16].copy_from_slice(&ifindex.to_le_bytes());
            ctx
        });
        Question { prog_type: ProgType::Xdp, steps, packet, ctx, repeat, flags: 0 }
    })
}

/// Asks both sides; the first difference, in words.
fn check(question: &Question) -> Result<(), TestCaseError> {
    let (sim, kernel) = Twin::ask(question)?;
    prop_assert_eq!(
        sim,
        kernel,
        "simulator and kernel differ (left, right)\n{}",
        step::listing(&question.steps)
    );
    Ok(())
}

fn cases() -> ProptestConfig {
    // Regressions stand as tests of their own, so no file of seeds is kept. A helper whose every call the verifier refuses
    // is one to leave out: few programs may be refused.
    ProptestConfig {
        cases: 2000,
        max_global_rejects: 100,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn skb_programs_do_the_same(question in skb_questions()) {
        check(&question)?;
    }

    #[test]
    fn xdp_programs_do_the_same(question in xdp_questions()) {
        check(&question)?;
    }
}

#[test]
fn the_programs_reach_most_helpers() {
    for (prog_type, least) in [(ProgType::SchedCls, 30), (ProgType::Xdp, 9), (ProgType::LwtXmit, 15)] {
        let there = step::callable(prog_type).count();
        assert!(
            there >= least,
            "{prog_type}: only {there} helpers are called, with at most {MOST} calls in a row"
        );
    }
}
