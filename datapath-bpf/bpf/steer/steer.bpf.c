/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One decision for every frame, told by constants, and a record of what it was made on. Loaded once for each hook that
 * is to decide differently, it asks what devices and namespaces do with a verdict.
 */
#include "steer_abi.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Frames of this EtherType only, host order; others go on to the next program, unrecorded. 0: every frame. */
const volatile __u16 ethertype;

/* What the program returns; with a helper, only if `keep_verdict` is set: else it is what the helper returns. */
const volatile __u32 verdict;
const volatile __u32 keep_verdict;

/* The helper it calls. */
enum helper {
	NONE,
	REDIRECT,
	CLONE_REDIRECT,
	REDIRECT_PEER,
	REDIRECT_NEIGH,
	REDIRECT_NEIGH_VIA,
	REDIRECT_MAP,
	REDIRECT_MAP_HASH,
};
const volatile __u32 helper;
/* Its arguments: a device or a key, flags, and an IPv4 next hop in network byte order. */
const volatile __u32 ifindex;
const volatile __u32 flags;
const volatile __u32 next_hop;

/* What it leaves in the frame's metadata; 0: nothing. */
const volatile __u32 set_mark;
const volatile __u32 set_priority;
const volatile __u32 set_cb0;
const volatile __u32 set_tc_index;
/* An 802.1Q tag to push, and whether to take one off before that. */
const volatile __u16 push_vlan;
const volatile __u16 pop_vlan;

/* What a program saw when it began, and what its helper returned. XDP has no more than `ifindex` and `len`. */
struct record {
	__u32 ifindex;
	__u32 ingress_ifindex;
	__u32 len;
	__u32 pkt_type;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 mark;
	__u32 priority;
	__u32 tc_index;
	__u32 cb0;
	__s32 result;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8);
} devices_by_key SEC(".maps");

static __always_inline long decide(struct __sk_buff *skb)
{
	struct bpf_redir_neigh via = { .nh_family = AF_INET, .ipv4_nh = next_hop };

	switch (helper) {
	case REDIRECT:
		return bpf_redirect(ifindex, flags);
	case CLONE_REDIRECT:
		return bpf_clone_redirect(skb, ifindex, flags);
	case REDIRECT_PEER:
		return bpf_redirect_peer(ifindex, flags);
	case REDIRECT_NEIGH:
		return bpf_redirect_neigh(ifindex, NULL, 0, flags);
	case REDIRECT_NEIGH_VIA:
		return bpf_redirect_neigh(ifindex, &via, sizeof(via), flags);
	default:
		return verdict;
	}
}

SEC("tc")
int steer(struct __sk_buff *skb)
{
	struct record *record;
	long result;

	if (ethertype && skb->protocol != htons(ethertype))
		return TC_ACT_UNSPEC;
	record = bpf_ringbuf_reserve(&seen, sizeof(*record), 0);
	if (!record)
		return TC_ACT_SHOT;
	record->ifindex = skb->ifindex;
	record->ingress_ifindex = skb->ingress_ifindex;
	record->len = skb->len;
	record->pkt_type = skb->pkt_type;
	record->protocol = skb->protocol;
	record->vlan_present = skb->vlan_present;
	record->vlan_tci = skb->vlan_tci;
	record->mark = skb->mark;
	record->priority = skb->priority;
	record->tc_index = skb->tc_index;
	record->cb0 = skb->cb[0];
	if (set_mark)
		skb->mark = set_mark;
	if (set_priority)
		skb->priority = set_priority;
	if (set_tc_index)
		skb->tc_index = set_tc_index;
	if (set_cb0)
		skb->cb[0] = set_cb0;
	if (pop_vlan)
		bpf_skb_vlan_pop(skb);
	if (push_vlan)
		bpf_skb_vlan_push(skb, htons(ETH_P_8021Q), push_vlan);
	result = decide(skb);
	record->result = result;
	bpf_ringbuf_submit(record, 0);
	return keep_verdict ? verdict : result;
}

SEC("xdp")
int steer_xdp(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data;
	void *end = (void *)(long)xdp->data_end;
	struct ethhdr *eth = data;
	struct record *record;
	long result = verdict;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (ethertype && eth->h_proto != htons(ethertype))
		return XDP_PASS;
	record = bpf_ringbuf_reserve(&seen, sizeof(*record), 0);
	if (!record)
		return XDP_DROP;
	memset(record, 0, sizeof(*record));
	record->ifindex = xdp->ingress_ifindex;
	record->len = end - data;
	if (helper == REDIRECT)
		result = bpf_redirect(ifindex, flags);
	else if (helper == REDIRECT_MAP)
		result = bpf_redirect_map(&devices, ifindex, flags);
	else if (helper == REDIRECT_MAP_HASH)
		result = bpf_redirect_map(&devices_by_key, ifindex, flags);
	record->result = result;
	bpf_ringbuf_submit(record, 0);
	return keep_verdict ? verdict : result;
}
