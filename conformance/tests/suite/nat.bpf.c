// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Tests that pass, of a small datapath: reached through prog arrays filled by `values` and by decl tags, with a mock in
 * place of a helper, maps of many types shared by the tests, and a context carried from step to step.
 */
static long mock_fib_lookup(void *ctx, void *params, int plen, unsigned int flags);

#include "unit.h"

#define bpf_fib_lookup(...) mock_fib_lookup(__VA_ARGS__)
#define BPF_MAP_TYPE_HASH_OF_MAPS 13
#define BPF_MAP_TYPE_LRU_PERCPU_HASH 10

static long (*const bpf_ringbuf_output)(void *ringbuf, void *data, __u64 size, __u64 flags) = (void *)130;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static __u64 (*const bpf_jiffies64)(void) = (void *)118;
static long (*const bpf_skb_change_head)(struct __sk_buff *skb, __u32 len, __u64 flags) = (void *)43;
static long (*const bpf_skb_adjust_room)(struct __sk_buff *skb, __s32 diff, __u32 mode, __u64 flags) = (void *)50;

struct flow {
	__u32 address;
	__u16 port;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct flow);
	__type(value, __u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct backends {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
};

struct backends backends_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct backends);
} services SEC(".maps") = { .values = { [1] = &backends_1 } };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} trace SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 64);
	__uint(max_entries, 1);
} mock_skb_meta_map SEC(".maps");

/* Filled by decl tags. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 8);
} calls SEC(".maps");

volatile const __u32 gateway SEC(".rodata.config") = 0x0a000002;
__u32 lookups;

enum { METADATA_SERVICE = 0, CALL_REWRITE = 3, CALL_MISSING = 5 };

struct packet {
	__u8 ether[14];
	__u8 ip[12];
	__be32 src, dst;
	__be16 sport, dport, len, check;
} __attribute__((packed));

static __always_inline struct packet *packet_of(struct __sk_buff *skb, __u32 offset)
{
	void *start = (void *)(long)skb->data + offset;

	return start + sizeof(struct packet) > (void *)(long)skb->data_end ? NULL : start;
}

static long mock_fib_lookup(void *ctx, void *params, int plen, unsigned int flags)
{
	lookups++;
	return ((struct bpf_fib_lookup *)params)->ipv4_dst_or_ipv6_dst[0] == htonl(gateway) ? 0 : 4;
}

TAIL("tc", calls, 3) int tail_rewrite(struct __sk_buff *skb)
{
	struct packet *packet = packet_of(skb, 0);
	__u32 key = skb->cb[METADATA_SERVICE], slot = 1;
	void *backends = bpf_map_lookup_elem(&services, &key);
	__u32 *backend = backends ? bpf_map_lookup_elem(backends, &slot) : NULL;
	__u64 *count = bpf_map_lookup_elem(&counters, &slot), now = bpf_ktime_get_ns();

	if (!packet || !backend || !count)
		return TC_ACT_SHOT;
	packet->dst = *backend;
	packet->dport = htons(8080);
	*count += 1;
	bpf_ringbuf_output(&trace, backend, sizeof(*backend), 0);
	bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, &key, sizeof(key));
	skb->mark = 0xcafe;
	/* Random numbers and clocks: only that they can be asked. */
	return bpf_get_prandom_u32() == 1 && bpf_jiffies64() == now ? TC_ACT_SHOT : TC_ACT_OK;
}

TAIL("tc", calls, 4) int tail_nobody_calls(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

ENTRY("tc") int from_container(struct __sk_buff *skb)
{
	struct bpf_fib_lookup params = { .family = AF_INET };
	struct packet *packet = packet_of(skb, 0);
	struct flow flow = {};
	__u64 one = 1;

	if (!packet)
		return TC_ACT_SHOT;
	params.ipv4_dst_or_ipv6_dst[0] = packet->dst;
	if (bpf_fib_lookup(skb, &params, sizeof(params), 0))
		return TC_ACT_SHOT;
	flow.address = packet->src;
	flow.port = packet->sport;
	bpf_map_update_elem(&flows, &flow, &one, BPF_ANY);
	skb->cb[METADATA_SERVICE] = 1;
	bpf_tail_call(skb, &calls, skb->priority ? CALL_MISSING : CALL_REWRITE);
	return TC_ACT_SHOT;
}

/* Filled by `values`. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(max_entries, 2);
	__array(values, int(struct __sk_buff *));
} entry_call_map SEC(".maps") = { .values = { [0] = &from_container } };

PKTGEN("tc", "1_rewrite") int rewrite_pktgen(struct __sk_buff *skb)
{
	__u8 packet[] = UDP_PACKET;
	__u32 slot = 1, backend = htonl(0x0a000107);
	void *backends = bpf_map_lookup_elem(&services, &slot);

	if (!backends || bpf_map_update_elem(backends, &slot, &backend, BPF_ANY))
		return CODE_ERROR;
	return make_packet(skb, packet, sizeof(packet));
}

SETUP("tc", "1_rewrite") int rewrite_setup(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &entry_call_map, 0);
	return CODE_ERROR;
}

CHECK("tc", "1_rewrite") int rewrite_check(struct __sk_buff *skb)
{
	struct packet *packet = packet_of(skb, 4);
	__u32 *returned = (void *)(long)skb->data;
	__u32 slot = 1, zero_key = 0;
	__u64 *count = bpf_map_lookup_elem(&counters, &slot);
	__u8 *meta = bpf_map_lookup_elem(&mock_skb_meta_map, &zero_key);

	BEGIN();
	if (!packet || !count || !meta) {
		LOG("no packet");
		return CODE_FAIL;
	}
	PART("status code leads the packet") {
		EXPECT(*returned == TC_ACT_OK);
	} PART_END();
	PART("packet is rewritten") {
		LOG1("to port %d", ntohs(packet->dport));
		EXPECT(packet->dst == htonl(0x0a000107));
		EXPECT(packet->dport == htons(8080));
	} PART_END();
	PART("context and maps are kept") {
		EXPECT(skb->mark == 0xcafe);
		EXPECT(skb->cb[METADATA_SERVICE] == 1);
		EXPECT(*count == 1);
		EXPECT(lookups == 1);
		EXPECT(meta[0] == 0);
	} PART_END();
	meta[0] = 7;
	END();
}

SETUP("tc", "2_empty_slot") int empty_setup(struct __sk_buff *skb)
{
	__u8 packet[] = UDP_PACKET;

	if (make_packet(skb, packet, sizeof(packet)))
		return CODE_ERROR;
	skb->priority = 9;
	bpf_tail_call(skb, &entry_call_map, 0);
	return CODE_ERROR;
}

CHECK("tc", "2_empty_slot") int empty_check(struct __sk_buff *skb)
{
	struct packet *packet = packet_of(skb, 4);
	__u32 *returned = (void *)(long)skb->data, zero_key = 0;
	__u8 *meta = bpf_map_lookup_elem(&mock_skb_meta_map, &zero_key);
	__u8 *results = bpf_map_lookup_elem(&suite_result_map, &zero_key);
	int was_zeroed = results && !results[0] && !results[100];
	BEGIN();

	EXPECT(was_zeroed);
	/* What the test before left behind, except what is zeroed. */
	EXPECT(lookups == 2);
	EXPECT(meta && meta[0] == 0);
	EXPECT(packet && *returned == TC_ACT_SHOT);
	EXPECT(packet && packet->dport == htons(53));
	END();
}

/* Sorts before the others: bytes, not numbers. */
CHECK("tc", "10_check_only") int only_check(struct __sk_buff *skb)
{
	BEGIN();
	EXPECT(skb->len == 3520);
	EXPECT(lookups == 0);
	END();
}

CHECK("tc", "3_room") int room_check(struct __sk_buff *skb)
{
	__u8 bytes[] = UDP_PACKET;
	BEGIN();

	PART("change_head") {
		EXPECT(!make_packet(skb, bytes, sizeof(bytes)));
		EXPECT(!bpf_skb_change_head(skb, 8, 0));
		EXPECT(skb->len == sizeof(bytes) + 8);
	} PART_END();
	PART("adjust_room") {
		skb->mark = bpf_skb_adjust_room(skb, 20, 0, 0);
		LOG1("adjust_room gives %d", (int)skb->mark);
	} PART_END();
	END();
}

/* Not of the suite. */
SEC("cgroup/connect4") int connect(void *ctx)
{
	return 1;
}

SEC("tc") int legacy(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("2/7") int of_no_type(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}
