//! Helpers without a row, and why.

use crate::uapi::ProgType;
use crate::uapi::helper::id;

const TRACING: &str = "tracing programs are not modelled";
const TASKS: &str = "there are no tasks";
const STRUCTURES: &str = "it gives out structures of the kernel, which have no bytes here";
const KERNEL_MEMORY: &str = "there is no kernel memory to read";
const USER_MEMORY: &str = "there is no user memory";
const PERF: &str = "there are no perf events to count";
const SYSCALLS: &str = "there is no system call to make";
const INFRARED: &str = "infrared programs are not modelled";
const OBJECTS: &str = "pointers kept in maps are not modelled";

/// Why a helper that no program type has a row for is not modelled, in words. A row takes precedence.
#[rustfmt::skip]
const REASONS: &[(u32, &str)] = &[
    (id::probe_read, KERNEL_MEMORY),
    (id::perf_event_read, PERF),
    (id::get_stackid, TRACING),
    (id::get_current_task, TASKS),
    (id::probe_write_user, USER_MEMORY),
    (id::probe_read_str, KERNEL_MEMORY),
    (id::perf_event_read_value, PERF),
    (id::perf_prog_read_value, PERF),
    (id::override_return, TRACING),
    (id::get_stack, TRACING),
    (id::rc_repeat, INFRARED),
    (id::rc_keydown, INFRARED),
    (id::rc_pointer_rel, INFRARED),
    (id::send_signal, TASKS),
    (id::skb_output, TRACING),
    (id::probe_read_user, USER_MEMORY),
    (id::probe_read_kernel, KERNEL_MEMORY),
    (id::probe_read_user_str, USER_MEMORY),
    (id::probe_read_kernel_str, KERNEL_MEMORY),
    (id::tcp_send_ack, "TCP congestion control is not modelled"),
    (id::send_signal_thread, TASKS),
    (id::read_branch_records, TRACING),
    (id::get_ns_current_pid_tgid, TASKS),
    (id::xdp_output, TRACING),
    (id::seq_printf, TRACING),
    (id::seq_write, TRACING),
    (id::get_task_stack, TASKS),
    (id::inode_storage_get, TRACING),
    (id::inode_storage_delete, TRACING),
    (id::d_path, TRACING),
    (id::copy_from_user, USER_MEMORY),
    (id::snprintf_btf, STRUCTURES),
    (id::seq_printf_btf, TRACING),
    (id::per_cpu_ptr, STRUCTURES),
    (id::this_cpu_ptr, STRUCTURES),
    (id::task_storage_get, TASKS),
    (id::task_storage_delete, TASKS),
    (id::get_current_task_btf, TASKS),
    (id::bprm_opts_set, TRACING),
    (id::ima_inode_hash, TRACING),
    (id::sock_from_file, TRACING),
    (id::sys_bpf, SYSCALLS),
    (id::btf_find_by_name_kind, SYSCALLS),
    (id::sys_close, SYSCALLS),
    (id::get_func_ip, TRACING),
    (id::get_attach_cookie, TRACING),
    (id::task_pt_regs, TASKS),
    (id::get_branch_snapshot, TRACING),
    (id::kallsyms_lookup_name, SYSCALLS),
    (id::find_vma, TASKS),
    (id::get_func_arg, TRACING),
    (id::get_func_ret, TRACING),
    (id::get_func_arg_cnt, TRACING),
    (id::copy_from_user_task, USER_MEMORY),
    (id::ima_file_hash, TRACING),
    (id::kptr_xchg, OBJECTS),
];

/// What some types of programs have a row for, and others, which a kernel gives it too, have not.
const FOR_TYPE: &[(ProgType, u32, &str)] = &[(
    ProgType::SkReuseport,
    id::skb_load_bytes_relative,
    "a context that is given tells nothing of what lies in front of the transport header",
)];

/// Why helper `id` is not modelled for programs of this type, which have no row for it, where others have one.
pub(super) fn reason_for(prog_type: ProgType, id: u32) -> Option<&'static str> {
    FOR_TYPE.iter().find(|&&(of, refused, _)| (of, refused) == (prog_type, id)).map(|&(.., why)| why)
}

/// Why helper `id` is not modelled, if a reason is written down.
pub fn reason(id: u32) -> Option<&'static str> {
    REASONS.iter().find(|&&(refused, _)| refused == id).map(|&(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_given_once() {
        for (index, (id, _)) in REASONS.iter().enumerate() {
            assert!(REASONS[index + 1..].iter().all(|(other, _)| other != id), "{id} twice");
        }
    }
}
