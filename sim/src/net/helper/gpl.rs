//! Helpers that only programs under a GPL-compatible licence may call.

use crate::uapi::helper::{self, id};

/// Helpers whose `struct bpf_func_proto` says `gpl_only`, in every version of them: `kernel/bpf/helpers.c`,
/// `kernel/bpf/stackmap.c`, `kernel/trace/bpf_trace.c`, `net/core/filter.c`, v6.12.
#[rustfmt::skip]
pub const GPL_ONLY: &[u32] = &[
    id::probe_read, id::trace_printk, id::perf_event_read, id::perf_event_output, id::get_stackid,
    id::get_current_task, id::probe_write_user, id::probe_read_str, id::perf_event_read_value,
    id::perf_prog_read_value, id::override_return, id::get_stack, id::fib_lookup, id::tcp_check_syncookie,
    id::tcp_gen_syncookie, id::skb_output, id::probe_read_user, id::probe_read_kernel, id::probe_read_user_str,
    id::probe_read_kernel_str, id::read_branch_records, id::xdp_output, id::seq_printf, id::seq_write,
    id::get_task_stack, id::seq_printf_btf, id::get_current_task_btf, id::check_mtu, id::snprintf, id::timer_init,
    id::timer_set_callback, id::timer_start, id::timer_cancel, id::get_func_ip, id::task_pt_regs,
    id::get_branch_snapshot, id::trace_vprintk, id::copy_from_user_task, id::tcp_raw_gen_syncookie_ipv4,
    id::tcp_raw_gen_syncookie_ipv6, id::tcp_raw_check_syncookie_ipv4, id::tcp_raw_check_syncookie_ipv6,
];

/// Whether a program may call helper `id` under its licence; the error says why not, as the verifier does
/// (`kernel/bpf/verifier.c: check_helper_call`, v6.12).
pub fn check_license(id: u32, gpl: bool) -> Result<(), String> {
    if gpl || !GPL_ONLY.contains(&id) {
        return Ok(());
    }
    let name = helper::name(id).unwrap_or_default();
    Err(format!("bpf_{name}: cannot call GPL-restricted function from non-GPL compatible program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_ascending_and_the_refusal_says_what_the_verifier_says() {
        assert!(GPL_ONLY.is_sorted_by(|a, b| a < b));
        assert_eq!(check_license(id::trace_printk, true), Ok(()));
        assert_eq!(check_license(id::map_lookup_elem, false), Ok(()));
        let why = check_license(id::trace_printk, false).unwrap_err();
        assert_eq!(
            why,
            "bpf_trace_printk: cannot call GPL-restricted function from non-GPL compatible program"
        );
    }
}
