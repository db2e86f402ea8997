// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What stress.sh builds, once per SEED: a large datapath in tail calls, and its tests. */
#include "unit.h"

#define MAP(name, kind, entries)                                         \
	struct {                                                         \
		__uint(type, kind);                                      \
		__uint(max_entries, entries);                            \
		__type(key, __u32);                                      \
		__type(value, __u64);                                    \
	} name SEC(".maps");
#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 16);
} calls SEC(".maps");

/* Adds to an element of a map, with arithmetic that cannot be folded. */
#define USE(map, number)                                                 \
	{                                                                \
		__u32 key = (number + SEED) & 1023;                      \
		__u64 *found = bpf_map_lookup_elem(&map, &key), first = sum; \
		sum = (sum ^ number) * 0x9e3779b97f4a7c15ULL + (sum >> 7); \
		sum ^= sum << 13;                                        \
		if (found)                                               \
			*found += sum;                                   \
		else                                                     \
			bpf_map_update_elem(&map, &key, &first, BPF_ANY); \
	}

#define STAGE(number, next)                                              \
	TAIL("tc", calls, number) int stage_##number(struct __sk_buff *skb) \
	{                                                                \
		skb->mark = work_##number(skb->mark + number);           \
		bpf_tail_call(skb, &calls, next);                        \
		return TC_ACT_OK;                                        \
	}

static __always_inline __u64 work_0(__u64 sum)
{
#include "uses_0.h"
	return sum;
}
STAGE(0, 1)

static __always_inline __u64 work_1(__u64 sum)
{
#include "uses_1.h"
	return sum;
}
STAGE(1, 2)

static __always_inline __u64 work_2(__u64 sum)
{
#include "uses_2.h"
	return sum;
}
STAGE(2, 3)

static __always_inline __u64 work_3(__u64 sum)
{
#include "uses_3.h"
	return sum;
}
STAGE(3, 4)

static __always_inline __u64 work_4(__u64 sum)
{
#include "uses_4.h"
	return sum;
}
STAGE(4, 15)

#define TEST(name)                                                       \
	PKTGEN("tc", #name) int pktgen_##name(struct __sk_buff *skb)     \
	{                                                                \
		__u8 packet[] = UDP_PACKET;                              \
		return make_packet(skb, packet, sizeof(packet));         \
	}                                                                \
	SETUP("tc", #name) int setup_##name(struct __sk_buff *skb)       \
	{                                                                \
		bpf_tail_call(skb, &calls, 0);                           \
		return CODE_ERROR;                                       \
	}                                                                \
	CHECK("tc", #name) int check_##name(struct __sk_buff *skb)       \
	{                                                                \
		BEGIN();                                                 \
		PART("ran through the stages") {                         \
			EXPECT(skb->mark != 0);                          \
			EXPECT(skb->len == 50);                          \
		} PART_END();                                            \
		END();                                                   \
	}
TEST(first)
TEST(second)

CHECK("tc", "alone") int alone(struct __sk_buff *skb)
{
	BEGIN();
	EXPECT(skb->len == 3520);
	END();
}

#if SEED & 1
CHECK("tc", "odd") int odd(struct __sk_buff *skb)
{
	return CODE_PASS;
}
#endif
