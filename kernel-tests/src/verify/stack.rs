//! The stack a program needs over its call graph.

use libbpf_sys::{BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC};

/// The bytes of the deepest chain of calls from the program's beginning, each frame rounded up to 16 bytes, as
/// `check_max_stack_depth_subprog` (kernel/bpf/verifier.c, v6.12) does where there is a JIT. `depths` are those of the
/// functions in the order of their instructions. A callback counts as called where its address is taken; the kernel
/// gives those of timers and workqueues a stack of their own.
pub fn deepest(slots: &[u64], depths: &[u32]) -> u32 {
    let mut calls = Vec::new();
    let mut slot = 0;
    while slot < slots.len() {
        let (code, source) = (slots[slot] as u8, (slots[slot] >> 12 & 0xf) as u32);
        let relative = (slots[slot] >> 32) as i32;
        if (code == 0x85 && source == BPF_PSEUDO_CALL) || (code == 0x18 && source == BPF_PSEUDO_FUNC) {
            calls.push((slot, slot.wrapping_add_signed(relative as isize + 1)));
        }
        slot += if code == 0x18 { 2 } else { 1 };
    }
    let mut starts: Vec<usize> = calls.iter().map(|(_, to)| *to).chain([0]).collect();
    starts.sort_unstable();
    starts.dedup();
    let function = |slot: usize| starts.partition_point(|start| *start <= slot) - 1;
    let mut callees = vec![Vec::new(); starts.len()];
    for (from, to) in calls {
        callees[function(from)].push(function(to));
    }
    below(0, &callees, depths, &mut vec![None; starts.len()])
}

fn below(function: usize, callees: &[Vec<usize>], depths: &[u32], known: &mut [Option<u32>]) -> u32 {
    if let Some(known) = known[function] {
        return known;
    }
    // A program that calls itself is rejected: there is no chain to be found.
    known[function] = Some(0);
    let own = depths.get(function).copied().unwrap_or(0).next_multiple_of(16);
    let deepest = callees[function].iter().map(|callee| below(*callee, callees, depths, known)).max();
    let sum = own + deepest.unwrap_or(0);
    known[function] = Some(sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::deepest;

    #[test]
    fn the_deepest_chain_counts() {
        const EXIT: u64 = 0x95;
        let call = |from: i64, to: i64| (to - from - 1) as u32 as u64 * (1 << 32) + 0x1085;
        // 0 calls 3 and 6; 3 calls 6.
        let slots = [call(0, 3), call(1, 6), EXIT, call(3, 6), EXIT, EXIT, EXIT];
        assert_eq!(deepest(&slots, &[8, 100, 24]), 16 + 112 + 32);
        assert_eq!(deepest(&[EXIT], &[40]), 48);
        // A callback, whose address takes two slots.
        let slots = [(3u64 << 32) + 0x4018, 0, 0x85, EXIT, EXIT];
        assert_eq!(deepest(&slots, &[16, 64]), 80);
    }
}
