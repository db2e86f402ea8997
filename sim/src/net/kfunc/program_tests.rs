//! What programs have to give back, and what happens when they do not.

use super::rows;
use crate::bpf::asm::assemble;
use crate::bpf::fault::FaultKind;
use crate::bpf::program::{Image, Program, function_addr};
use crate::net::{Config, Kernel, TestRun};
use crate::uapi::ProgType;

/// Runs `text`, in which `call NAME` of a kernel function stands as `@NAME`, over a packet of 64 bytes.
fn run(text: &str) -> Result<u32, FaultKind> {
    let mut assembly = text.to_owned();
    for (number, row) in rows().enumerate() {
        let call = (number as u64) << 32 | 0x2085;
        assembly = assembly.replace(&format!("@{};", row.name), &format!(".slot {call:#x};"));
    }
    let mut code = assemble(&assembly).unwrap();
    for function in code.functions.clone() {
        code.define(&function.name, 0, function_addr(function.start_slot));
    }
    let image = Image {
        name: "main".into(),
        prog_type: ProgType::SchedCls,
        attach_type: None,
        license_gpl: true,
        xdp_has_frags: false,
        slots: code.slots,
        functions: code.functions,
        lines: Vec::new(),
        maps: Vec::new(),
    };
    let mut kernel = Kernel::new(&Config::default());
    let prog = kernel.machine.add_program(Program::new(image).unwrap());
    let test = TestRun { data_in: &[7; 64], ..TestRun::default() };
    let ran = kernel.prog_test_run(prog, &test);
    ran.map(|answer| answer.unwrap().retval).map_err(|fault| fault.kind)
}

const NEW: &str = "r1 = r10; r1 += -8; r2 = 0; r3 = 3; @bpf_iter_num_new;";
const DESTROY: &str = "r1 = r10; r1 += -8; @bpf_iter_num_destroy;";
const FROM_SKB: &str = "r2 = 0; r3 = r10; r3 += -16; @bpf_dynptr_from_skb;";
const SIZE: &str = "r1 = r10; r1 += -16; @bpf_dynptr_size;";

#[test]
fn what_is_held_has_to_be_given_back_once() {
    use FaultKind::{Argument, Instruction, Unreleased};
    assert_eq!(run(&format!("{NEW} {DESTROY} r0 = 4; exit")), Ok(4));
    assert!(matches!(run(&format!("{NEW} r0 = 0; exit")), Err(Unreleased(_))));
    assert!(matches!(run(&format!("{NEW} {NEW} {DESTROY} r0 = 0; exit")), Err(Argument { number: 1, .. })));
    let twice = run(&format!("{NEW} {DESTROY} {DESTROY} r0 = 0; exit"));
    assert!(matches!(twice, Err(Argument { helper: "iter_num_destroy", number: 1, .. })), "{twice:?}");
    let after = run(&format!("{NEW} {DESTROY} r1 = r10; r1 += -8; @bpf_iter_num_next; r0 = 0; exit"));
    assert!(matches!(after, Err(Argument { helper: "iter_num_next", .. })), "{after:?}");
    let nested = "@bpf_rcu_read_lock; @bpf_rcu_read_lock; r0 = 0; exit";
    assert!(matches!(run(nested), Err(Instruction(_))));
    assert!(matches!(run("@bpf_rcu_read_unlock; r0 = 0; exit"), Err(Instruction(_))));
    assert!(matches!(run("@bpf_preempt_disable; r0 = 0; exit"), Err(Unreleased(_))));
}

#[test]
fn a_callback_leaves_nothing_to_its_caller() {
    let text = |callback: &str| {
        format!("r1 = 2; r2 = cb ll; r3 = 0; r4 = 0; call 181; exit; .func cb; {callback} r0 = 0; exit")
    };
    assert_eq!(run(&text("@bpf_preempt_disable; @bpf_preempt_enable;")), Ok(2));
    assert!(matches!(run(&text("@bpf_preempt_disable;")), Err(FaultKind::Unreleased(_))));
}

#[test]
fn only_an_intact_dynptr_is_one() {
    assert_eq!(run(&format!("{FROM_SKB} {SIZE} exit")), Ok(64));
    let wild = run(&format!("*(u64 *)(r10 - 16) = 1; *(u64 *)(r10 - 8) = 2; {SIZE} exit"));
    assert!(matches!(wild, Err(FaultKind::Argument { helper: "dynptr_size", number: 1, .. })), "{wild:?}");
    let written = run(&format!("{FROM_SKB} *(u8 *)(r10 - 9) = 9; {SIZE} exit"));
    assert!(matches!(written, Err(FaultKind::Argument { number: 1, .. })), "{written:?}");
    let elsewhere = run("r2 = 0; r3 = 0x1000; @bpf_dynptr_from_skb; r0 = 0; exit");
    assert!(matches!(elsewhere, Err(FaultKind::Argument { number: 3, .. })), "{elsewhere:?}");
    // A slice is stale once a write through the dynptr may have moved the packet.
    let stale = format!(
        "{FROM_SKB} r1 = r10; r1 += -16; r2 = 0; r3 = 0; r4 = 4; @bpf_dynptr_slice; r6 = r0; *(u64 *)(r10 - 24) = 0; \
         r1 = r10; r1 += -16; r2 = 0; r3 = r10; r3 += -24; r4 = 4; r5 = 0; call 202; r0 = *(u8 *)(r6 + 0); exit"
    );
    assert!(matches!(run(&stale), Err(FaultKind::Access(_))));
}
