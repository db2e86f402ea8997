// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An object as large as those of big datapaths: 32 stages of a thousand instructions, each with five maps of its own,
// each going on to the next by a tail call. What a stage computes has no meaning; all of it counts for the result.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
};
enum { BPF_F_NO_PREALLOC = 1 };

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
};

struct prefix {
	u32 len;
	u32 address;
};

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*const bpf_skb_load_bytes)(const void *ctx, u32 offset, void *to, u32 len) = (void *)26;

enum { BYTES = 36, ROUNDS = 4, STAGES = 32 };

static inline __attribute__((always_inline)) u32 mixed(u32 hash, const u8 *bytes, u32 odd)
{
	_Pragma("unroll") for (int round = 0; round < ROUNDS; round++) {
		_Pragma("unroll") for (int i = 0; i < BYTES; i++) {
			hash ^= bytes[i] + round;
			hash *= odd;
			hash ^= hash >> 15;
		}
	}
	return hash;
}

#define MAP(kind, name, key_type, value_type, entries, flags)                                                          \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, flags);                                                                              \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

#define DECLARE(n) int stage_##n(struct context *ctx)

#define STAGE(n)                                                                                                       \
	MAP(BPF_MAP_TYPE_HASH, policy_##n, u32, u32, 64, 0);                                                           \
	MAP(BPF_MAP_TYPE_ARRAY, total_##n, u32, u64, 16, 0);                                                           \
	MAP(BPF_MAP_TYPE_LRU_HASH, seen_##n, u64, u64, 1024, 0);                                                       \
	MAP(BPF_MAP_TYPE_PERCPU_ARRAY, count_##n, u32, u64, 16, 0);                                                    \
	MAP(BPF_MAP_TYPE_LPM_TRIE, prefix_##n, struct prefix, u32, 64, BPF_F_NO_PREALLOC);                             \
	SEC("tc") DECLARE(n)                                                                                           \
	{                                                                                                              \
		u8 bytes[BYTES];                                                                                       \
		if (bpf_skb_load_bytes(ctx, n % 8, bytes, sizeof(bytes)))                                              \
			return n;                                                                                      \
		u32 hash = mixed(ctx->cb[0], bytes, 2 * n + 0x9e3779b1);                                               \
		u32 slot = hash % 16, key = hash % 64;                                                                 \
		u64 flow = hash % 512, one = 1;                                                                        \
		struct prefix prefix = { 32, hash };                                                                   \
		u32 *policy = bpf_map_lookup_elem(&policy_##n, &key);                                                  \
		if (policy)                                                                                            \
			hash += *policy;                                                                               \
		u32 *route = bpf_map_lookup_elem(&prefix_##n, &prefix);                                                \
		if (route)                                                                                             \
			hash ^= *route;                                                                                \
		u64 *total = bpf_map_lookup_elem(&total_##n, &slot);                                                   \
		if (total)                                                                                             \
			hash += (*total += ctx->len);                                                                  \
		u64 *count = bpf_map_lookup_elem(&count_##n, &slot);                                                   \
		if (count)                                                                                             \
			*count += 1;                                                                                   \
		u64 *seen = bpf_map_lookup_elem(&seen_##n, &flow);                                                     \
		if (seen)                                                                                              \
			*seen += 1;                                                                                    \
		else                                                                                                   \
			bpf_map_update_elem(&seen_##n, &flow, &one, 0);                                                \
		ctx->cb[0] = hash;                                                                                     \
		bpf_tail_call(ctx, &stages, n + 1);                                                                    \
		return hash & 0x7fffffff;                                                                              \
	}

#define EACH(do)                                                                                                       \
	do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15) do(16)   \
	do(17) do(18) do(19) do(20) do(21) do(22) do(23) do(24) do(25) do(26) do(27) do(28) do(29) do(30) do(31)

#define DECLARED(n) DECLARE(n);
EACH(DECLARED)

#define SLOT(n) [n] = (void *)&stage_##n,
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGES);
	__uint(key_size, sizeof(u32));
	__array(values, int(void *));
} stages SEC(".maps") = { .values = { EACH(SLOT) } };

EACH(STAGE)

char _license[] SEC("license") = "Dual BSD/GPL";
