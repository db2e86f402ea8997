//! Kernel functions that programs may call in the kernel and may not here.

use crate::uapi::Release::{self, V6_1, V6_12, V6_18};

/// A kernel function that is not modelled, and why.
pub struct Refused {
    /// Its name in the kernel's types.
    pub name: &'static str,
    /// The first series that has it.
    pub since: Release,
    /// Why it is not modelled, in words that follow its name.
    pub why: &'static str,
}

const fn no(name: &'static str, since: Release, why: &'static str) -> Refused {
    Refused { name, since, why }
}

const STRUCTURES: &str = "is not modelled: it gives out structures of the kernel, which have no bytes here";
const OBJECTS: &str = "is not modelled: objects of the program's own types";
const TASKS: &str = "is not modelled: there are no tasks";
const CGROUPS: &str = "is not modelled: there is no cgroup hierarchy to walk";
const EXCEPTIONS: &str = "is not modelled: exceptions";
const WORKQUEUES: &str = "is not modelled: workqueues";
const CRYPTO: &str = "is not modelled: the kernel's ciphers";
const ARENAS: &str = "is not modelled: arenas";
const FILES: &str = "is not modelled: there are no files";
const USER: &str = "is not modelled: there is no user memory";
/// `kernel/bpf/offload.c: bpf_dev_bound_kfunc_check`, v6.12: the kernel refuses them to any other program.
const BOUND: &str = "is only for programs bound to a device, which are not modelled";
const SOCKETS: &str = "is not modelled: it changes sockets of the stack";

/// Every one, by what it lacks.
#[rustfmt::skip]
pub const REFUSED: &[Refused] = &[
    no("bpf_cast_to_kern_ctx", V6_12, STRUCTURES),
    no("bpf_rdonly_cast", V6_12, STRUCTURES),
    no("bpf_obj_new_impl", V6_12, OBJECTS),
    no("bpf_obj_drop_impl", V6_12, OBJECTS),
    no("bpf_percpu_obj_new_impl", V6_12, OBJECTS),
    no("bpf_percpu_obj_drop_impl", V6_12, OBJECTS),
    no("bpf_refcount_acquire_impl", V6_12, OBJECTS),
    no("bpf_list_push_front_impl", V6_12, OBJECTS),
    no("bpf_list_push_back_impl", V6_12, OBJECTS),
    no("bpf_list_pop_front", V6_12, OBJECTS),
    no("bpf_list_pop_back", V6_12, OBJECTS),
    no("bpf_list_front", V6_18, OBJECTS),
    no("bpf_list_back", V6_18, OBJECTS),
    no("bpf_rbtree_add_impl", V6_12, OBJECTS),
    no("bpf_rbtree_remove", V6_12, OBJECTS),
    no("bpf_rbtree_first", V6_12, OBJECTS),
    no("bpf_rbtree_root", V6_18, OBJECTS),
    no("bpf_rbtree_left", V6_18, OBJECTS),
    no("bpf_rbtree_right", V6_18, OBJECTS),
    no("bpf_task_acquire", V6_12, TASKS),
    no("bpf_task_release", V6_12, TASKS),
    no("bpf_task_from_pid", V6_12, TASKS),
    no("bpf_task_from_vpid", V6_18, TASKS),
    no("bpf_iter_task_new", V6_12, TASKS),
    no("bpf_iter_task_next", V6_12, TASKS),
    no("bpf_iter_task_destroy", V6_12, TASKS),
    no("bpf_iter_task_vma_new", V6_12, TASKS),
    no("bpf_iter_task_vma_next", V6_12, TASKS),
    no("bpf_iter_task_vma_destroy", V6_12, TASKS),
    no("bpf_cgroup_acquire", V6_12, CGROUPS),
    no("bpf_cgroup_release", V6_12, CGROUPS),
    no("bpf_cgroup_ancestor", V6_12, CGROUPS),
    no("bpf_cgroup_from_id", V6_12, CGROUPS),
    no("bpf_task_under_cgroup", V6_12, CGROUPS),
    no("bpf_task_get_cgroup1", V6_12, CGROUPS),
    no("bpf_iter_css_new", V6_12, CGROUPS),
    no("bpf_iter_css_next", V6_12, CGROUPS),
    no("bpf_iter_css_destroy", V6_12, CGROUPS),
    no("bpf_iter_css_task_new", V6_12, CGROUPS),
    no("bpf_iter_css_task_next", V6_12, CGROUPS),
    no("bpf_iter_css_task_destroy", V6_12, CGROUPS),
    no("bpf_throw", V6_12, EXCEPTIONS),
    no("bpf_wq_init", V6_12, WORKQUEUES),
    no("bpf_wq_set_callback_impl", V6_12, WORKQUEUES),
    no("bpf_wq_start", V6_12, WORKQUEUES),
    no("bpf_crypto_ctx_create", V6_12, CRYPTO),
    no("bpf_crypto_ctx_acquire", V6_12, CRYPTO),
    no("bpf_crypto_ctx_release", V6_12, CRYPTO),
    no("bpf_crypto_encrypt", V6_12, CRYPTO),
    no("bpf_crypto_decrypt", V6_12, CRYPTO),
    no("bpf_arena_alloc_pages", V6_12, ARENAS),
    no("bpf_arena_free_pages", V6_12, ARENAS),
    no("bpf_get_fsverity_digest", V6_12, FILES),
    no("bpf_get_file_xattr", V6_12, FILES),
    no("bpf_copy_from_user_str", V6_12, USER),
    no("bpf_ct_set_nat_info", V6_1, "is not modelled: address translation in connection tracking"),
    no("bpf_xdp_flow_lookup", V6_12, "is not modelled: flow tables"),
    no("bpf_skb_set_fou_encap", V6_12, "is not modelled: encapsulation in UDP by the tunnel device"),
    no("bpf_skb_get_fou_encap", V6_12, "is not modelled: encapsulation in UDP by the tunnel device"),
    no("bpf_xdp_metadata_rx_timestamp", V6_12, BOUND),
    no("bpf_xdp_metadata_rx_hash", V6_12, BOUND),
    no("bpf_xdp_metadata_rx_vlan_tag", V6_12, BOUND),
    no("bpf_sock_destroy", V6_12, SOCKETS),
    no("bpf_sk_assign_tcp_reqsk", V6_12, SOCKETS),
    no("bpf_dynptr_from_skb_meta", V6_18, "is not modelled: dynptrs over metadata"),
    no("bpf_dynptr_copy", V6_18, "is not modelled: copies between dynptrs"),
    no("bpf_dynptr_memset", V6_18, "is not modelled: filling through a dynptr"),
    no("bpf_local_irq_save", V6_18, "is not modelled: interrupts"),
    no("bpf_local_irq_restore", V6_18, "is not modelled: interrupts"),
    no("bpf_res_spin_lock", V6_18, "is not modelled: resilient locks"),
    no("bpf_res_spin_unlock", V6_18, "is not modelled: resilient locks"),
    no("bpf_res_spin_lock_irqsave", V6_18, "is not modelled: resilient locks"),
    no("bpf_res_spin_unlock_irqrestore", V6_18, "is not modelled: resilient locks"),
];
