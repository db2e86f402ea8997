// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Kernel functions and helpers around dynptrs and iterators: one program per family, each writing down what every call
 * gave. */
#include "kernel.h"

typedef long long __s64;

#define __ksym __attribute__((section(".ksyms")))
#define MOST 64

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

struct bpf_iter_bits {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct xdp_md;

static long (*const bpf_dynptr_from_mem)(void *data, __u32 size, __u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_ringbuf_reserve_dynptr)(void *ring, __u32 size, __u64 flags, struct bpf_dynptr *ptr) = (void *)198;
static void (*const bpf_ringbuf_submit_dynptr)(struct bpf_dynptr *ptr, __u64 flags) = (void *)199;
static void (*const bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *ptr, __u64 flags) = (void *)200;
static long (*const bpf_dynptr_read)(void *dst, __u32 len, const struct bpf_dynptr *src, __u32 offset, __u64 flags) =
	(void *)201;
static long (*const bpf_dynptr_write)(const struct bpf_dynptr *dst, __u32 offset, void *src, __u32 len, __u64 flags) =
	(void *)202;
static void *(*const bpf_dynptr_data)(const struct bpf_dynptr *ptr, __u32 offset, __u32 len) = (void *)203;

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;
extern _Bool bpf_dynptr_is_null(const struct bpf_dynptr *ptr) __ksym;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *clone) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__s64 results[MOST];
__u8 memory[64];

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[8]);
} block SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* What can be asked of every dynptr; takes 12 results. */
static __always_inline void look(const struct bpf_dynptr *ptr, __s64 *to)
{
	__u8 bytes[8] = {};

	to[0] = bpf_dynptr_is_null(ptr);
	to[1] = bpf_dynptr_is_rdonly(ptr);
	to[2] = bpf_dynptr_size(ptr);
	to[3] = bpf_dynptr_read(bytes, 8, ptr, 0, 0);
	to[4] = *(__s64 *)bytes;
	to[5] = bpf_dynptr_read(bytes, 4, ptr, 12, 0);
	to[6] = *(__s64 *)bytes;
	to[7] = bpf_dynptr_read(bytes, 8, ptr, 60, 0);
	to[8] = bpf_dynptr_read(bytes, 8, ptr, 0xfffffffc, 0);
	to[9] = bpf_dynptr_read(bytes, 8, ptr, 0, 1);
	to[10] = bpf_dynptr_data(ptr, 0, 4) != NULL;
	to[11] = bpf_dynptr_data(ptr, 62, 4) != NULL;
}

SEC("tc")
int from_memory(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr, other;
	__u32 zero = 0;
	__u8 *value = bpf_map_lookup_elem(&block, &zero), *data, *slice;
	__u8 buffer[4] = {};

	if (!value)
		return TC_ACT_SHOT;
	results[0] = bpf_dynptr_from_mem(value, 64, skb->mark == 5, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 3, "dynptr", 6, 0);
	results[14] = bpf_dynptr_write(&ptr, 59, "dynptr", 6, 0);
	results[15] = bpf_dynptr_write(&ptr, 0, "dynptr", 6, 1);
	results[16] = bpf_dynptr_clone(&ptr, &other);
	results[17] = bpf_dynptr_adjust(&other, 4, 4 + skb->mark);
	results[18] = bpf_dynptr_size(&other);
	results[19] = bpf_dynptr_adjust(&other, 2, 1);
	results[20] = bpf_dynptr_adjust(&other, 0, 200);
	look(&other, &results[21]);
	data = bpf_dynptr_data(&ptr, 8, 4);
	if (data)
		data[1] = 0x77;
	slice = bpf_dynptr_slice_rdwr(&ptr, 16, buffer, 4);
	if (slice)
		slice[3] = 0x78;
	slice = bpf_dynptr_slice(&other, 1, NULL, 4);
	results[33] = slice ? slice[0] : -1;
	look(&ptr, &results[34]);
	return TC_ACT_OK;
}

SEC("tc")
int from_skb(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u8 buffer[16] = {}, *slice;

	results[0] = bpf_dynptr_from_skb(skb, skb->mark == 5, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 6, "frompr", 6, 0);
	results[14] = bpf_dynptr_write(&ptr, 13, "sum", 2, skb->mark);
	results[15] = bpf_dynptr_write(&ptr, 2000, "sum", 2, 0);
	slice = bpf_dynptr_slice_rdwr(&ptr, 14, buffer, 16);
	results[16] = slice != NULL;
	results[17] = slice == buffer;
	if (slice)
		slice[2] = 0x99;
	slice = bpf_dynptr_slice(&ptr, 0, NULL, 14);
	results[18] = slice ? slice[13] : -1;
	results[19] = bpf_dynptr_adjust(&ptr, 14, 30);
	look(&ptr, &results[20]);
	slice = bpf_dynptr_slice(&ptr, 3, buffer, 16);
	results[32] = slice != NULL;
	return TC_ACT_OK;
}

struct bpf_nf_ctx {
	const void *state;
	struct __sk_buff *skb;
};

/* The skb is behind the context, and only to be read. */
SEC("netfilter")
int from_nf(struct bpf_nf_ctx *ctx)
{
	struct bpf_dynptr ptr;
	__u8 buffer[20] = {}, *slice;

	results[0] = bpf_dynptr_from_skb(ctx->skb, 0, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 0, "x", 1, 0);
	slice = bpf_dynptr_slice(&ptr, 0, buffer, sizeof(buffer));
	results[14] = slice ? slice[0] << 8 | slice[9] : -1;
	results[15] = slice == buffer;
	results[16] = bpf_dynptr_read(buffer, 4, &ptr, 12, 0);
	results[17] = buffer[3];
	results[18] = bpf_dynptr_read(buffer, 20, &ptr, 1000, 0);
	results[19] = bpf_dynptr_from_skb(ctx->skb, 1, &ptr);
	return 1;
}

SEC("cgroup_skb/egress")
int read_only(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u8 *slice;

	results[0] = bpf_dynptr_from_skb(skb, 0, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 6, "frompr", 6, 0);
	slice = bpf_dynptr_slice(&ptr, 0, NULL, 4);
	results[14] = slice ? slice[3] : -1;
	return 1;
}

SEC("xdp.frags")
int from_xdp(struct xdp_md *xdp)
{
	struct bpf_dynptr ptr;
	__u8 buffer[16] = {}, *slice;

	results[0] = bpf_dynptr_from_xdp(xdp, 0, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 6, "frompr", 6, 0);
	results[14] = bpf_dynptr_write(&ptr, 0, "sum", 2, 1);
	results[15] = bpf_dynptr_write(&ptr, 5000, "at the end", 10, 0);
	slice = bpf_dynptr_slice_rdwr(&ptr, 5004, buffer, 16);
	results[16] = slice != NULL;
	results[17] = slice == buffer;
	if (slice) {
		results[18] = slice[0];
		slice[1] = 0x55;
	}
	results[19] = bpf_dynptr_read(buffer, 16, &ptr, 5000, 0);
	results[20] = *(__s64 *)buffer;
	/* 4096 bytes less 256 of headroom and 320 for the shared info are linear. */
	slice = bpf_dynptr_slice_rdwr(&ptr, 3516, buffer, 16);
	results[21] = slice != NULL;
	results[22] = slice == buffer;
	slice = bpf_dynptr_slice(&ptr, 3516, NULL, 16);
	results[23] = slice != NULL;
	slice = bpf_dynptr_slice(&ptr, 14, NULL, 16);
	results[24] = slice ? slice[1] : -1;
	results[25] = bpf_dynptr_read(buffer, 16, &ptr, 0x10000, 0);
	return XDP_DROP;
}

SEC("tc")
int records(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr, other;
	__u8 *data;

	results[0] = bpf_ringbuf_reserve_dynptr(&ring, 8 + skb->mark, 0, &ptr);
	look(&ptr, &results[1]);
	results[13] = bpf_dynptr_write(&ptr, 2, "record", 6, 0);
	data = bpf_dynptr_data(&ptr, 0, 1);
	if (data)
		data[0] = 'R';
	results[14] = bpf_dynptr_clone(&ptr, &other);
	results[15] = bpf_dynptr_size(&other);
	if (skb->mark == 3)
		bpf_ringbuf_discard_dynptr(&other, 0);
	else
		bpf_ringbuf_submit_dynptr(&ptr, 0);
	results[16] = bpf_ringbuf_reserve_dynptr(&ring, 8192, 0, &ptr);
	results[17] = bpf_dynptr_is_null(&ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	results[18] = bpf_ringbuf_reserve_dynptr(&ring, 8, 1, &ptr);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	results[19] = bpf_ringbuf_reserve_dynptr(&ring, 1U << 24, 0, &ptr);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	return TC_ACT_OK;
}

static __always_inline void count(int start, int end, __s64 *to)
{
	struct bpf_iter_num it;
	__s64 sum = 0, times = 0;
	int *next;

	to[0] = bpf_iter_num_new(&it, start, end);
	while ((next = bpf_iter_num_next(&it))) {
		sum += *next;
		times++;
	}
	to[1] = sum;
	to[2] = times;
	to[3] = bpf_iter_num_next(&it) != NULL;
	bpf_iter_num_destroy(&it);
}

static __always_inline void bits(const __u64 *words, __u32 count, __s64 *to)
{
	struct bpf_iter_bits it;
	__s64 sum = 0, times = 0;
	int *next;

	to[0] = bpf_iter_bits_new(&it, words, count);
	while ((next = bpf_iter_bits_next(&it))) {
		sum += *next;
		times++;
	}
	to[1] = sum;
	to[2] = times;
	bpf_iter_bits_destroy(&it);
}

SEC("tc")
int iterators(struct __sk_buff *skb)
{
	__u64 words[4] = { 0x8000000000000001ULL, skb->mark, 0, 0xf0f0ULL };

	bpf_rcu_read_lock();
	bpf_preempt_disable();
	count(0, 10, &results[0]);
	count(-3, skb->mark, &results[4]);
	count(5, 5, &results[8]);
	count(6, 5, &results[12]);
	count(-2147483647 - 1, 2147483647, &results[16]);
	count(2147483645, 2147483647, &results[20]);
	bpf_preempt_enable();
	bpf_rcu_read_unlock();
	bits(words, 1, &results[24]);
	bits(words, 4, &results[27]);
	bits(words, 0, &results[30]);
	bits(NULL, 1, &results[33]);
	bits(words, 600, &results[36]);
	return TC_ACT_OK;
}
