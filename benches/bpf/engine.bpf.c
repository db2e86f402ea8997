// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Five programs that ask different things of an engine. Compiled twice: with the kernel's context, whose packet
// pointers have 32 bits, and with -DWIDE_CONTEXT for engines whose packet pointers are 64 bits of their own process.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
#define bpf_htons(x) __builtin_bswap16(x)

enum { BPF_MAP_TYPE_HASH = 1 };
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

#ifdef WIDE_CONTEXT
struct context {
	u64 data;
	u64 data_end;
	u32 len;
	u32 mark;
};
#else
/* The first fields of struct __sk_buff. */
struct context {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan[3];
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
};
#endif

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 protocol;
};

struct ipv4 {
	u8 ihl : 4;
	u8 version : 4;
	u8 tos;
	u16 length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct tcp {
	u16 source;
	u16 destination;
	u32 sequence;
	u32 acknowledgement;
	u8 offset;
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

struct service_key {
	u32 address;
	u16 port;
	u16 protocol;
};

struct service {
	u32 address;
	u16 port;
	u16 flags;
};

struct flow_key {
	u32 source;
	u32 destination;
	u16 source_port;
	u16 destination_port;
	u32 protocol;
};

struct flow {
	u64 packets;
	u64 bytes;
	u32 flags;
	u32 last;
};

struct policy_key {
	u32 identity;
	u16 port;
	u16 protocol;
};

struct policy {
	u32 verdict;
	u32 proxy;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct policy_key);
	__type(value, struct policy);
} policies SEC(".maps");

SEC("tc/empty")
int empty(struct context *ctx)
{
	return 0;
}

/* A thousand rounds of arithmetic on registers. */
SEC("tc/alu")
int alu(struct context *ctx)
{
	u64 a = ctx->len, b = 0x9e3779b97f4a7c15ULL, c = a ^ b;
	u32 d = ctx->len;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 1000; i++) {
		a += b;
		b ^= a >> 7;
		c = c * 31 + a;
		d = (d << 5) ^ (d >> 3) ^ (u32)c;
		a |= 1;
		b -= d;
		c &= 0xffffffffffffULL;
	}
	return (u32)(a ^ b ^ c ^ d);
}

/* The Internet checksum over 1,500 bytes, two at a time, each with its bounds check. */
SEC("tc/checksum")
int checksum(struct context *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;

	if (data + sizeof(*eth) > end)
		return 0;
	if (eth->protocol != bpf_htons(0x0800))
		return 1;
	u16 *p = data + sizeof(*eth);
	u64 sum = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 750; i++) {
		if ((void *)(p + 1) > end)
			break;
		sum += *p++;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u32)(sum & 0xffff);
}

/* A thousand look-ups in a hash map of a thousand elements. */
SEC("tc/lookup")
int lookup(struct context *ctx)
{
	u64 sum = 0;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 1000; i++) {
		u32 key = i;
		u64 *value = bpf_map_lookup_elem(&counters, &key);

		if (value)
			sum += *value;
	}
	return (u32)sum;
}

static inline __attribute__((always_inline)) void replace(u16 *checksum, u32 old, u32 new)
{
	u32 sum = (u16)~*checksum;

	sum += (~old & 0xffff) + ((~old >> 16) & 0xffff) + (new & 0xffff) + (new >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*checksum = ~sum;
}

/* A TCP packet to a service: parse, find service, flow and policy, count, rewrite address and port. */
SEC("tc/parser")
int parser(struct context *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;

	if (data + sizeof(*eth) > end)
		return 2;
	if (eth->protocol != bpf_htons(0x0800))
		return 0;
	struct ipv4 *ip = data + sizeof(*eth);
	if ((void *)(ip + 1) > end)
		return 2;
	if (ip->ihl != 5 || ip->version != 4 || ip->fragment & bpf_htons(0x3fff) || ip->ttl <= 1)
		return 2;
	if (ip->protocol != 6)
		return 0;
	struct tcp *tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > end)
		return 2;

	struct service_key service_key = { ip->destination, tcp->destination, 6 };
	struct service *service = bpf_map_lookup_elem(&services, &service_key);
	if (!service)
		return 2;
	u32 address = service->address;
	u16 port = service->port;

	struct flow_key flow_key = { ip->source, address, tcp->source, port, 6 };
	struct flow *flow = bpf_map_lookup_elem(&flows, &flow_key);
	if (!flow)
		return 2;
	flow->packets++;
	flow->bytes += ctx->len;
	if (tcp->flags & 5)
		flow->flags |= 1;

	struct policy_key policy_key = { ctx->mark, port, 6 };
	struct policy *policy = bpf_map_lookup_elem(&policies, &policy_key);
	if (!policy || policy->verdict != 1)
		return 2;

	u32 old_address = ip->destination;
	u16 old_port = tcp->destination;
	replace(&ip->checksum, old_address, address);
	replace(&tcp->checksum, old_address, address);
	replace(&tcp->checksum, old_port, port);
	ip->destination = address;
	tcp->destination = port;
	return 0x100 | (ip->checksum & 0xff);
}

char _license[] SEC("license") = "Dual BSD/GPL";
