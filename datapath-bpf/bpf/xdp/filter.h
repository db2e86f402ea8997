/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What may not come in at all: denied prefixes, and sources that send too much. */
#ifndef PREFILTER_FILTER_H
#define PREFILTER_FILTER_H

#include "state.h"

struct deny_v4_key {
	__u32 prefixlen;
	__be32 addr;
};

struct deny_v6_key {
	__u32 prefixlen;
	struct in6_addr addr;
};

/* Denied sources, and what each entry has stopped so far. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct deny_v4_key);
	__type(value, struct counter);
} deny_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct deny_v6_key);
	__type(value, struct counter);
} deny_v6 SEC(".maps");

struct bucket {
	__u64 refilled_ns;
	__s64 tokens;
};

/* By source: an IPv4 address, or the /64 of an IPv6 address, which is what one sender commands (RFC 4291, 2.5.4). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct in6_addr);
	__type(value, struct bucket);
} buckets SEC(".maps");

static __always_inline int is_denied(const struct parsed *packet, __u64 bytes)
{
	struct deny_v4_key v4 = { .prefixlen = 32, .addr = packet->saddr.w[3] };
	struct deny_v6_key v6 = { .prefixlen = 128, .addr = packet->saddr };
	struct counter *rule;

	if (packet->family == AF_INET)
		rule = bpf_map_lookup_elem(&deny_v4, &v4);
	else
		rule = bpf_map_lookup_elem(&deny_v6, &v6);
	if (!rule)
		return 0;
	__sync_fetch_and_add(&rule->packets, 1);
	__sync_fetch_and_add(&rule->bytes, bytes);
	return 1;
}

/*
 * Takes a token. Time is counted from the bucket's first packet on, in whole tokens, so that none is lost to rounding.
 * CPUs share a bucket without a lock (LRU maps hold none): one of them wins the refill, and whoever finds no token puts
 * the one it took on credit back.
 */
static __always_inline int take_token(struct bucket *bucket, __u64 now)
{
	__u64 period = config.token_ns ? config.token_ns : 1, size = config.bucket_size;
	__u64 since = bucket->refilled_ns;
	__u64 refill = now > since ? (now - since) / period : 0;

	if (refill && __sync_val_compare_and_swap(&bucket->refilled_ns, since, since + refill * period) == since) {
		__s64 tokens = bucket->tokens;

		__sync_fetch_and_add(&bucket->tokens, refill < size - tokens ? refill : size - tokens);
	}
	if (__sync_fetch_and_add(&bucket->tokens, -1) > 0)
		return 1;
	__sync_fetch_and_add(&bucket->tokens, 1);
	return 0;
}

static __always_inline int is_over_rate(const struct parsed *packet)
{
	struct bucket first = { .tokens = config.bucket_size - 1 };
	struct in6_addr source = packet->saddr;
	struct bucket *bucket;
	__u64 now;

	if (!config.bucket_size)
		return 0;
	if (packet->family == AF_INET6) {
		source.w[2] = 0;
		source.w[3] = 0;
	}
	now = bpf_ktime_get_ns();
	bucket = bpf_map_lookup_elem(&buckets, &source);
	if (bucket)
		return !take_token(bucket, now);
	first.refilled_ns = now;
	bpf_map_update_elem(&buckets, &source, &first, BPF_NOEXIST);
	return 0;
}

#endif
