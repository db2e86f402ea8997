/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Contexts, constants and helpers of the hooks beyond packets: include/uapi/linux/bpf.h and what goes with it. */
#ifndef HOOKS_ABI_H
#define HOOKS_ABI_H

#include "abi.h"

#define SOL_SOCKET 1
#define SO_RCVBUF 8
#define SO_MARK 36
#define SOL_TCP 6
#define TCP_USER_TIMEOUT 18
#define SOCK_RAW 3
#define EPERM 1

enum sk_action {
	SK_DROP,
	SK_PASS,
};

enum {
	BPF_OK = 0,
	BPF_DROP = 2,
};

enum {
	NF_DROP,
	NF_ACCEPT,
};

enum {
	BPF_SOCK_OPS_TCP_CONNECT_CB = 3,
	BPF_SOCK_OPS_HDR_OPT_LEN_CB = 14,
	BPF_SOCK_OPS_WRITE_HDR_OPT_CB = 15,
};

#define BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG (1 << 6)

struct bpf_sock;

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	__u32 pad;
	struct bpf_sock *sk;
};

/* As the context of cgroup/sock programs; the beginning. */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
};

struct bpf_sockopt {
	struct bpf_sock *sk;
	void *optval;
	void *optval_end;
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

struct bpf_sysctl {
	__u32 write;
	__u32 file_pos;
};

/* The beginning. */
struct bpf_sock_ops {
	__u32 op;
	__u32 reply;
	__u32 args[3];
	__u32 family;
};

struct sk_msg_md {
	void *data;
	void *data_end;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 size;
};

struct sk_reuseport_md {
	void *data;
	void *data_end;
	__u32 len;
	__u32 eth_protocol;
	__u32 ip_protocol;
	__u32 bind_inany;
	__u32 hash;
};

/* struct __sk_buff as far as programs of streams see it: the socket's side of it. */
struct stream {
	struct __sk_buff packet;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
};

/* include/linux/netfilter.h; the beginning. */
struct nf_hook_state {
	__u8 hook;
	__u8 pf;
};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	void *skb;
};

static long (*const bpf_setsockopt)(void *ctx, int level, int name, const void *value, int len) = (void *)49;
static long (*const bpf_getsockopt)(void *ctx, int level, int name, void *value, int len) = (void *)57;
static long (*const bpf_sock_ops_cb_flags_set)(struct bpf_sock_ops *ops, int flags) = (void *)59;
static long (*const bpf_msg_pull_data)(struct sk_msg_md *msg, __u32 start, __u32 end, __u64 flags) = (void *)63;
static long (*const bpf_lwt_seg6_store_bytes)(struct __sk_buff *skb, __u32 off, const void *from, __u32 len) = (void *)74;
static long (*const bpf_sysctl_get_name)(struct bpf_sysctl *ctx, char *to, __u64 len, __u64 flags) = (void *)101;
static long (*const bpf_sysctl_get_current_value)(struct bpf_sysctl *ctx, char *to, __u64 len) = (void *)102;
static long (*const bpf_sysctl_set_new_value)(struct bpf_sysctl *ctx, const char *value, __u64 len) = (void *)104;
static long (*const bpf_store_hdr_opt)(struct bpf_sock_ops *ops, const void *from, __u32 len, __u64 flags) = (void *)143;
static long (*const bpf_reserve_hdr_opt)(struct bpf_sock_ops *ops, __u32 len, __u64 flags) = (void *)144;
static long (*const bpf_set_retval)(int retval) = (void *)187;

#endif
