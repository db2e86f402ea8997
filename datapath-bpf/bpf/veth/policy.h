/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who an address belongs to, and who may speak with the pod. */
#ifndef VETH_POLICY_H
#define VETH_POLICY_H

#include "state.h"

/* A pod of this node (ifindex set) or of another one. */
struct endpoint {
	__u32 identity;
	__u32 ifindex;
	__u8 mac[ETH_ALEN];
	__u16 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct in6_addr);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

struct cidr_v4_key {
	__u32 prefixlen;
	__be32 addr;
};

struct cidr_v6_key {
	__u32 prefixlen;
	struct in6_addr addr;
};

/* Prefix to identity. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_v4_key);
	__type(value, __u32);
} cidr_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_v6_key);
	__type(value, __u32);
} cidr_v6 SEC(".maps");

/* A rule for packets between an endpoint and an identity. Identity, port and protocol 0 mean any. */
struct policy_key {
	__u32 identity;
	__be16 dport;
	__u8 proto;
	enum direction direction;
	__u16 endpoint;
	__u16 reserved;
};

enum verdict : __u16 {
	VERDICT_NONE,
	VERDICT_ALLOW,
	VERDICT_DENY,
};

struct policy_value {
	enum verdict verdict;
	__u16 reserved[3];
	/* Of the connections this rule decided: their first packets. */
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_key);
	__type(value, struct policy_value);
} policy SEC(".maps");

/* A rule for addresses instead of identities; IPv4 prefixes are those of mapped addresses. */
struct policy_cidr_key {
	/* Counts `endpoint`, `direction` and `family` too: 32 bits more than the prefix of `addr`. */
	__u32 prefixlen;
	__u16 endpoint;
	enum direction direction;
	__u8 family;
	struct in6_addr addr;
};

struct policy_cidr_value {
	enum verdict verdict;
	/* 0: any. */
	__be16 dport;
	__u8 proto;
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_cidr_key);
	__type(value, struct policy_cidr_value);
} policy_cidr SEC(".maps");

static __always_inline __u32 cidr_identity(const struct packet *pkt, const struct in6_addr *addr)
{
	struct cidr_v4_key v4 = { .prefixlen = 32, .addr = addr->w[3] };
	struct cidr_v6_key v6 = { .prefixlen = 128, .addr = *addr };
	const __u32 *identity;

	if (pkt->family == AF_INET)
		identity = bpf_map_lookup_elem(&cidr_v4, &v4);
	else
		identity = bpf_map_lookup_elem(&cidr_v6, &v6);
	return identity ? *identity : config.world_identity;
}

static __always_inline __u32 identity_of(const struct packet *pkt, const struct in6_addr *addr)
{
	struct in6_addr key = *addr;
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &key);

	return endpoint ? endpoint->identity : cidr_identity(pkt, addr);
}

/* The rules of the hash for one remote identity, most specific first; a denial wins over any number of permissions. */
static __noinline int identity_verdict(struct __sk_buff *skb, const struct packet *pkt, __u32 remote)
{
	struct policy_value *decisive = NULL;
	struct policy_key key = {};

	if (!pkt)
		return VERDICT_DENY;
	key.direction = skb->cb[CB_DIRECTION];
	key.endpoint = config.endpoint;
	for (int wide = 0; wide < 6; wide++) {
		struct policy_value *rule;

		key.identity = wide < 3 ? remote : 0;
		key.dport = wide % 3 == 0 ? pkt->flow.dport : 0;
		key.proto = wide % 3 == 2 ? 0 : pkt->flow.proto;
		rule = bpf_map_lookup_elem(&policy, &key);
		if (!rule)
			continue;
		if (rule->verdict == VERDICT_DENY) {
			decisive = rule;
			break;
		}
		if (!decisive)
			decisive = rule;
	}
	if (!decisive)
		return VERDICT_NONE;
	__sync_fetch_and_add(&decisive->packets, 1);
	__sync_fetch_and_add(&decisive->bytes, skb->len);
	return decisive->verdict;
}

static __always_inline int cidr_verdict(struct __sk_buff *skb, const struct packet *pkt, const struct in6_addr *remote)
{
	struct policy_cidr_key key = {
		.prefixlen = 32 + 128,
		.endpoint = config.endpoint,
		.direction = skb->cb[CB_DIRECTION],
		.family = pkt->family,
		.addr = *remote,
	};
	const struct policy_cidr_value *rule = bpf_map_lookup_elem(&policy_cidr, &key);

	if (!rule || (rule->proto && rule->proto != pkt->flow.proto) ||
	    (rule->dport && rule->dport != pkt->flow.dport))
		return VERDICT_NONE;
	return rule->verdict;
}

/* Whether a new connection may begin: 0 or the reason to drop. */
static __always_inline int check_policy(struct __sk_buff *skb, const struct packet *pkt)
{
	int egress = skb->cb[CB_DIRECTION] == DIR_EGRESS;
	int by_identity = identity_verdict(skb, pkt, egress ? pkt->dst_identity : pkt->src_identity);
	int by_cidr = cidr_verdict(skb, pkt, egress ? &pkt->flow.daddr : &pkt->flow.saddr);

	if (by_identity == VERDICT_DENY)
		return REASON_POLICY_DENIED;
	if (by_cidr == VERDICT_DENY)
		return REASON_POLICY_DENIED_CIDR;
	if (by_identity == VERDICT_ALLOW || by_cidr == VERDICT_ALLOW)
		return 0;
	return (egress ? config.enforce_egress : config.enforce_ingress) ? REASON_NO_POLICY : 0;
}

#endif
