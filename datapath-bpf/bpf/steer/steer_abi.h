/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Helpers and maps that send frames elsewhere: include/uapi/linux/bpf.h and what goes with it. */
#ifndef STEER_ABI_H
#define STEER_ABI_H

#include "abi.h"

#define BPF_MAP_TYPE_DEVMAP 14
#define BPF_MAP_TYPE_DEVMAP_HASH 25

#define ETH_P_8021Q 0x8100

struct ethhdr {
	__u8 h_dest[6];
	__u8 h_source[6];
	__be16 h_proto;
};

/* The next hop of bpf_redirect_neigh(). */
struct bpf_redir_neigh {
	__u32 nh_family;
	__be32 ipv4_nh;
	__u32 pad[3];
};

static long (*const bpf_clone_redirect)(struct __sk_buff *skb, __u32 ifindex, __u64 flags) = (void *)13;
static long (*const bpf_skb_vlan_push)(struct __sk_buff *skb, __be16 proto, __u16 tci) = (void *)18;
static long (*const bpf_skb_vlan_pop)(struct __sk_buff *skb) = (void *)19;
static long (*const bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;

#endif
