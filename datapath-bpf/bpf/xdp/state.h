/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The prefilter's configuration, what it knows about a packet, and its counters. */
#ifndef PREFILTER_STATE_H
#define PREFILTER_STATE_H

#include "abi.h"
#include "packet.h"

/* How a packet reaches the chosen server. */
enum forwarding : __u32 {
	/* Behind an IP header, RFC 2003, RFC 2473 and RFC 4213. */
	FORWARD_IPIP,
	/* Behind IP and UDP headers: Generic UDP Encapsulation, variant 1. */
	FORWARD_GUE,
	/* As it is, to the server's MAC address; the server has the service's address and answers by itself. */
	FORWARD_DSR,
};

#define TABLE_SIZE 251

struct prefilter_config {
	/* This machine, and the router that takes encapsulated packets. */
	__u8 mac[ETH_ALEN];
	__u8 router_mac[ETH_ALEN];
	/* Sources of outer headers. */
	__be32 encap_ipv4;
	struct in6_addr encap_ipv6;
	/* Destination port of outer UDP headers. */
	__be16 gue_port;
	/* Largest packet, from its IP header on, that the way to the servers takes. */
	__u16 mtu;
	__u32 hash_seed;
	/*
	 * Token bucket of each source: its size, and the nanoseconds after which a token comes back. A size of 0 is no
	 * limit.
	 */
	__u32 bucket_size;
	__u64 token_ns;
	/* Whether senders learn that a packet was too big. */
	__u8 reply_too_big;
	/* Whether malformed IP packets are dropped, or left to the stack to judge. */
	__u8 drop_malformed;
	/* Slots in use of every table of servers: a prime (Eisenbud et al., Maglev, NSDI 2016, 3.4) up to TABLE_SIZE. */
	__u16 table_size;
	__u32 reserved;
};

volatile const struct prefilter_config config = {
	.mac = { 0x02, 0, 0, 0, 0, 0x10 },
	.router_mac = { 0x02, 0, 0, 0, 0, 0x01 },
	.gue_port = htons(6080),
	.mtu = 1500,
	.token_ns = 1000000000,
	.drop_malformed = 1,
	.table_size = TABLE_SIZE,
};

/* What became of a packet: the index of its counter. Part of the metrics' format: append only. */
enum outcome {
	OUTCOME_PASSED,
	OUTCOME_NOT_IP,
	OUTCOME_MALFORMED,
	OUTCOME_FRAGMENT,
	OUTCOME_DENIED,
	OUTCOME_RATE_LIMITED,
	OUTCOME_FORWARDED,
	OUTCOME_NO_SERVER,
	OUTCOME_TOO_BIG,
	OUTCOME_TOO_BIG_REPLIED,
	OUTCOME_NO_ROOM,
	OUTCOME_COUNT,
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOME_COUNT);
	__type(key, __u32);
	__type(value, struct counter);
} outcomes SEC(".maps");

/* What parsing found. */
struct parsed {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 family;
	__u8 fragment;
	/* Whether a router may not fragment it: IPv4 with DF, and IPv6. */
	__u8 dont_fragment;
	__u16 l3_off;
	/* Length from the IP header on, as that header says. */
	__u16 l3_len;
};

/* Two tags, as on a provider's bridge, are followed. */
#define MAX_L2_LEN (ETH_HLEN + 2 * sizeof(struct vlanhdr))

/* Counts the packet, `bytes` long when it came, and ends the program. */
static __always_inline int finish(__u32 outcome, __u64 bytes, int action)
{
	struct counter *counter = bpf_map_lookup_elem(&outcomes, &outcome);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
	return action;
}

#endif
