// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Helpers that need callbacks, text, locks or timers: one program per family, each writing down what every call gave. */
#include "abi.h"

#pragma clang diagnostic ignored "-Wunused-parameter"

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_timer {
	__u64 opaque[2];
} __attribute__((aligned(8)));

#define BPF_F_LOCK 4
#define BPF_EXIST 2
/* Gives hash maps the same order of elements every time. */
#define BPF_F_ZERO_SEED (1U << 6)

#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_QUEUE 22
#define BPF_MAP_TYPE_STACK 23

static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static long (*const bpf_trace_printk)(const char *fmt, __u32 size, ...) = (void *)6;
static long (*const bpf_map_push_elem)(void *map, const void *value, __u64 flags) = (void *)87;
static long (*const bpf_map_pop_elem)(void *map, void *value) = (void *)88;
static long (*const bpf_map_peek_elem)(void *map, void *value) = (void *)89;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static long (*const bpf_strtol)(const char *buf, unsigned long len, __u64 flags, long *res) = (void *)105;
static long (*const bpf_strtoul)(const char *buf, unsigned long len, __u64 flags, unsigned long *res) = (void *)106;
static long (*const bpf_ringbuf_output)(void *ringbuf, void *data, __u64 size, __u64 flags) = (void *)130;
static void (*const bpf_ringbuf_discard)(void *data, __u64 flags) = (void *)133;
static __u64 (*const bpf_ringbuf_query)(void *ringbuf, __u64 flags) = (void *)134;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) = (void *)164;
static long (*const bpf_snprintf)(char *str, __u32 size, const char *fmt, __u64 *data, __u32 data_len) = (void *)165;
static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, __u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *timer, __u64 nsecs, __u64 flags) = (void *)171;
static long (*const bpf_timer_cancel)(struct bpf_timer *timer) = (void *)172;
static long (*const bpf_trace_vprintk)(const char *fmt, __u32 size, const void *data, __u32 data_len) = (void *)177;
static long (*const bpf_loop)(__u32 nr, void *callback, void *ctx, __u64 flags) = (void *)181;
static long (*const bpf_strncmp)(const char *s1, __u32 size, const char *s2) = (void *)182;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, __u32 cpu) = (void *)195;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What each call of a program gave, in order. */
#define MOST 64
__s64 results[MOST];
/* What helpers wrote. */
char text[MOST][32];

static __always_inline void note(__u32 index, __s64 value)
{
	if (index < MOST)
		results[index] = value;
}

#define ELEMENTS(name, kind, entries, flags)                                                                           \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, entries);                                                                          \
		__type(key, __u32);                                                                                    \
		__type(value, __u64);                                                                                  \
		__uint(map_flags, flags);                                                                              \
	} name SEC(".maps")

ELEMENTS(array, BPF_MAP_TYPE_ARRAY, 5, 0);
ELEMENTS(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 5, 0);
ELEMENTS(hash, BPF_MAP_TYPE_HASH, 8, BPF_F_ZERO_SEED);
ELEMENTS(lazy_hash, BPF_MAP_TYPE_HASH, 8, BPF_F_ZERO_SEED | BPF_F_NO_PREALLOC);
ELEMENTS(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 8, BPF_F_ZERO_SEED);
ELEMENTS(lru, BPF_MAP_TYPE_LRU_HASH, 16, BPF_F_ZERO_SEED);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 2);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 2);
	__type(value, __u64);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct guarded {
	__u64 before;
	struct bpf_spin_lock lock;
	__u32 after;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} guarded_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct guarded);
} guarded_hash SEC(".maps");

struct timed {
	__u64 count;
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} timed_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct timed);
} timed_hash SEC(".maps");

struct loop_ctx {
	__u64 sum;
	__u32 stop_at;
};

static long on_round(__u64 index, struct loop_ctx *ctx)
{
	ctx->sum += index + 1;
	return index == ctx->stop_at;
}

static long nested_round(__u64 index, struct loop_ctx *ctx)
{
	return bpf_loop(2, on_round, ctx, 0) != 2;
}

SEC("tc")
int loops(struct __sk_buff *skb)
{
	struct loop_ctx ctx = { .stop_at = 1 << 30 };

	note(0, bpf_loop(0, on_round, &ctx, 0));
	note(1, bpf_loop(10, on_round, &ctx, 0));
	note(2, ctx.sum);
	ctx.stop_at = 3;
	note(3, bpf_loop(10, on_round, &ctx, 0));
	note(4, ctx.sum);
	note(5, bpf_loop(10, on_round, &ctx, 1));
	ctx.stop_at = 0;
	note(6, bpf_loop(8 << 20, on_round, &ctx, 0));
	note(7, bpf_loop((8 << 20) + 1, on_round, &ctx, 0));
	ctx.stop_at = 5;
	note(8, bpf_loop(3, nested_round, &ctx, 0));
	note(9, ctx.sum);
	/* A count that is not constant. */
	note(10, bpf_loop(skb->mark, on_round, &ctx, 0));
	return 0;
}

struct each_ctx {
	__u64 keys;
	__u64 values;
	__u64 order;
	__u32 stop_after;
	__u32 visited;
};

static long on_element(void *map, __u32 *key, __u64 *value, struct each_ctx *ctx)
{
	ctx->keys += *key;
	ctx->values += *value;
	ctx->order = ctx->order * 31 + *key;
	*value += 100;
	return ++ctx->visited == ctx->stop_after;
}

static long on_element_delete(void *map, __u32 *key, __u64 *value, struct each_ctx *ctx)
{
	ctx->keys += *key;
	ctx->values += bpf_map_delete_elem(map, key);
	return ++ctx->visited == ctx->stop_after;
}

static __always_inline void each(void *map, __u32 at)
{
	struct each_ctx ctx = {};

	for (__u32 i = 0; i < 5; i++) {
		__u32 key = i;
		__u64 value = key * 7 + 1;

		bpf_map_update_elem(map, &key, &value, 0);
	}
	note(at, bpf_for_each_map_elem(map, on_element, &ctx, 0));
	note(at + 1, ctx.keys);
	note(at + 2, ctx.values);
	ctx.stop_after = 7;
	note(at + 3, bpf_for_each_map_elem(map, on_element, &ctx, 0));
	note(at + 4, ctx.order);
	note(at + 5, bpf_for_each_map_elem(map, on_element, &ctx, 1));
}

SEC("tc")
int elements(struct __sk_buff *skb)
{
	struct each_ctx ctx = {};

	each(&array, 0);
	each(&percpu_array, 8);
	each(&hash, 16);
	each(&percpu_hash, 24);
	each(&lru, 32);
	note(40, bpf_for_each_map_elem(&hash, on_element_delete, &ctx, 0));
	note(41, ctx.keys);
	note(42, ctx.values);
	note(43, bpf_for_each_map_elem(&hash, on_element, &ctx, 0));
	return 0;
}

SEC("tc")
int numbers(struct __sk_buff *skb)
{
	char buf[32] = {};
	__u32 len = skb->mark & 31;
	unsigned long unsigned_value = 1;
	long value = 1;

	if (len == 0 || bpf_skb_load_bytes(skb, 14, buf, len) < 0)
		return 1;
	note(0, bpf_strtol(buf, len, skb->priority, &value));
	note(1, value);
	note(2, bpf_strtoul(buf, len, skb->priority, &unsigned_value));
	note(3, unsigned_value);
	note(4, bpf_strncmp(buf, len, "0x1F"));
	return 0;
}

#define PRINT(index, format, ...)                                                                                      \
	do {                                                                                                           \
		static const char fmt[] = format;                                                                      \
		__u64 args[] = { __VA_ARGS__ };                                                                        \
		note(index, bpf_snprintf(text[index], sizeof(text[index]), fmt, args, sizeof(args)));                  \
	} while (0)

SEC("tc")
int printing(struct __sk_buff *skb)
{
	static const char nothing[] = "plain";
	static const char three[] = "%d|%x|%llu";
	__u8 bytes[16] = { 192, 0, 2, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	static const char word[] = "word";
	__u64 data[2] = { 1, 2 };
	__u64 big = 0xfffffffffffffff6ULL;

	note(0, bpf_snprintf(text[0], sizeof(text[0]), nothing, NULL, 0));
	PRINT(1, "%d %i %u", big, big, big);
	PRINT(2, "%ld %lld %lu", big, 7, 8);
	PRINT(3, "%x %X %lx", 0xabcdef12345ULL, 0xabc, big);
	PRINT(4, "[%5d][%-5d][%05d]", 42, 42, 42);
	PRINT(5, "[%+d][% d][%+05d]", 42, 42, 42);
	PRINT(6, "[%08x][%-8X][%2u]", 0xbeef, 0xbeef, 12345);
	PRINT(7, "%c%c%%%c", 'a', 'b', 'c');
	PRINT(8, "[%3c][%-3c]", 'x', 'y');
	PRINT(9, "%s", (__u64)word);
	PRINT(10, "[%8s][%-8s]", (__u64)word, (__u64)word);
	PRINT(11, "%pI4 %pi4", (__u64)bytes, (__u64)bytes);
	PRINT(12, "%pI6", (__u64)bytes);
	PRINT(13, "%pi6", (__u64)bytes);
	PRINT(14, "%pI4x.", (__u64)bytes);
	PRINT(15, "%px", 0x1234567890ULL);
	PRINT(16, "longer than the room there is %d %d", 1, 2);
	PRINT(17, "%+-5d|%-+5d|", 42, -42);
	PRINT(18, "%0-5d|%-05d|", 42, 42);
	PRINT(19, "%lu%c%lu", 1, 'x', 2);
	PRINT(20, "tabs\tand\nlines %d", 3);
	PRINT(21, "%12pI4|", (__u64)bytes);
	PRINT(22, "%+u|% x", 5, 6);
	PRINT(23, "%20s|", (__u64)word);
	PRINT(24, "%-+08d|%+-8ld|", big, big);
	note(32, bpf_snprintf(NULL, 0, nothing, NULL, 0));
	note(33, bpf_snprintf(text[33], 4, nothing, NULL, 0));
	note(34, bpf_snprintf(text[34], 1, nothing, NULL, 0));
	note(35, bpf_trace_printk(three, sizeof(three), 10, 11, 12));
	note(36, bpf_trace_printk(three, 3, 10, 11, 12));
	note(37, bpf_trace_printk(nothing, sizeof(nothing)));
	note(38, bpf_trace_vprintk(nothing, sizeof(nothing), NULL, 0));
	note(39, bpf_trace_vprintk(three, sizeof(three), data, sizeof(data)));
	return 0;
}

SEC("tc")
int locks(struct __sk_buff *skb)
{
	struct guarded value = { .before = 1, .after = 2 };
	struct guarded *found;
	__u32 key = 0;

	note(0, bpf_map_update_elem(&guarded_array, &key, &value, BPF_F_LOCK));
	note(1, bpf_map_update_elem(&guarded_hash, &key, &value, BPF_F_LOCK | BPF_EXIST));
	note(2, bpf_map_update_elem(&guarded_hash, &key, &value, BPF_F_LOCK));
	value.before = 3;
	note(3, bpf_map_update_elem(&guarded_hash, &key, &value, BPF_F_LOCK | BPF_EXIST));
	note(4, bpf_map_update_elem(&guarded_hash, &key, &value, BPF_F_LOCK | BPF_NOEXIST));
	found = bpf_map_lookup_elem(&guarded_hash, &key);
	if (found) {
		bpf_spin_lock(&found->lock);
		found->before += 5;
		found->after++;
		bpf_spin_unlock(&found->lock);
		value.before = 9;
		note(5, bpf_map_update_elem(&guarded_hash, &key, &value, BPF_F_LOCK));
		note(6, found->before);
		note(7, bpf_map_update_elem(&guarded_hash, &key, &value, 0));
		found->before = 77;
	}
	return 0;
}

/* Pointers kept over deletions and replacements, and what then lies there. */
static __always_inline void keep(void *map, __u32 at)
{
	__u32 first = 1, second = 2, third = 3;
	__u64 value = 10;
	__u64 *kept, *other;

	bpf_map_update_elem(map, &first, &value, 0);
	kept = bpf_map_lookup_elem(map, &first);
	if (!kept)
		return;
	note(at, *kept);
	value = 20;
	bpf_map_update_elem(map, &first, &value, 0);
	note(at + 1, *kept);
	value = 30;
	bpf_map_update_elem(map, &first, &value, 0);
	note(at + 2, *kept);
	kept = bpf_map_lookup_elem(map, &first);
	if (!kept)
		return;
	bpf_map_delete_elem(map, &first);
	note(at + 3, *kept);
	value = 40;
	bpf_map_update_elem(map, &second, &value, 0);
	note(at + 4, *kept);
	*kept = 50;
	other = bpf_map_lookup_elem(map, &second);
	note(at + 5, other ? *other : 0);
	value = 60;
	bpf_map_update_elem(map, &third, &value, 0);
	note(at + 6, *kept);
	bpf_map_delete_elem(map, &second);
	bpf_map_delete_elem(map, &third);
	value = 70;
	bpf_map_update_elem(map, &first, &value, 0);
	note(at + 7, *kept);
}

SEC("tc")
int memory(struct __sk_buff *skb)
{
	keep(&hash, 0);
	keep(&lazy_hash, 8);
	keep(&lru, 16);
	keep(&percpu_hash, 24);
	return 0;
}

SEC("tc")
int least_recently_used(struct __sk_buff *skb)
{
	for (__u32 i = 0; i < 60; i++) {
		__u32 turn = i, seen = (i * 5 + skb->mark) % 40;
		__u64 value = turn, *found;

		found = bpf_map_lookup_elem(&lru, &seen);
		if (found)
			*found += 1000;
		else if (i % 3)
			bpf_map_update_elem(&lru, &turn, &value, 0);
		if (i % 7 == 6)
			bpf_map_delete_elem(&lru, &seen);
		note(i, found ? *found : 0);
	}
	return 0;
}

SEC("tc")
int queues(struct __sk_buff *skb)
{
	__u64 value = 1;

	note(0, bpf_map_pop_elem(&queue, &value));
	note(1, value);
	for (int i = 0; i < 3; i++) {
		value = 5 + i;
		note(2 + i, bpf_map_push_elem(&queue, &value, 0));
		note(5 + i, bpf_map_push_elem(&stack, &value, 0));
	}
	value = 9;
	note(8, bpf_map_push_elem(&queue, &value, BPF_EXIST));
	note(9, bpf_map_push_elem(&stack, &value, BPF_EXIST));
	note(10, bpf_map_push_elem(&queue, &value, BPF_NOEXIST));
	note(11, bpf_map_peek_elem(&queue, &value));
	note(12, value);
	note(13, bpf_map_peek_elem(&stack, &value));
	note(14, value);
	for (int i = 0; i < 3; i++) {
		note(15 + i, bpf_map_pop_elem(&queue, &value));
		note(18 + i, value);
		note(21 + i, bpf_map_pop_elem(&stack, &value));
		note(24 + i, value);
	}
	return 0;
}

SEC("tc")
int records(struct __sk_buff *skb)
{
	__u64 data[3] = { 1, 2, 3 };
	__u8 *first, *second;

	note(0, bpf_ringbuf_query(&ring, 0));
	note(1, bpf_ringbuf_query(&ring, 1));
	note(2, bpf_ringbuf_query(&ring, 2));
	note(3, bpf_ringbuf_query(&ring, 3));
	note(4, bpf_ringbuf_query(&ring, 4));
	note(5, bpf_ringbuf_output(&ring, data, 20, 0));
	note(6, bpf_ringbuf_output(&ring, data, 0, 0));
	note(7, bpf_ringbuf_output(&ring, data, 8, 4));
	first = bpf_ringbuf_reserve(&ring, 1000, 0);
	second = bpf_ringbuf_reserve(&ring, 1000, 1);
	note(8, !!first);
	note(9, !!second);
	if (second)
		bpf_ringbuf_discard(second, 0);
	second = bpf_ringbuf_reserve(&ring, 13, 0);
	note(10, bpf_ringbuf_query(&ring, 0));
	if (second) {
		/* The rest is what an earlier record left there. */
		second[0] = 0xaa;
		note(11, second[12]);
		bpf_ringbuf_submit(second, 0);
	}
	if (first) {
		if (skb->mark & 1) {
			bpf_ringbuf_discard(first, 0);
		} else {
			first[5] = 0xbb;
			bpf_ringbuf_submit(first, 0);
		}
	}
	second = bpf_ringbuf_reserve(&ring, 4000, 0);
	note(12, !!second);
	if (second)
		bpf_ringbuf_submit(second, 0);
	note(13, bpf_ringbuf_query(&ring, 3));
	return 0;
}

static int on_timer(void *map, __u32 *key, struct timed *value)
{
	value->count++;
	return 0;
}

#define HOUR 3600000000000ULL

#define TIMER(map, at)                                                                                                 \
	do {                                                                                                           \
		struct timed initial = { .count = 1 };                                                                 \
		struct timed *value;                                                                                   \
		__u32 key = 0;                                                                                         \
                                                                                                                       \
		bpf_map_update_elem(&map, &key, &initial, 0);                                                          \
		value = bpf_map_lookup_elem(&map, &key);                                                               \
		if (!value)                                                                                            \
			return 1;                                                                                      \
		note(at, bpf_timer_cancel(&value->timer));                                                             \
		note(at + 1, bpf_timer_set_callback(&value->timer, on_timer));                                         \
		note(at + 2, bpf_timer_init(&value->timer, &map, 2));                                                  \
		note(at + 3, bpf_timer_init(&value->timer, &map, 1 << 4));                                             \
		note(at + 4, bpf_timer_init(&value->timer, &map, 1));                                                  \
		note(at + 5, bpf_timer_init(&value->timer, &map, 1));                                                  \
		note(at + 6, bpf_timer_start(&value->timer, HOUR, 0));                                                 \
		note(at + 7, bpf_timer_set_callback(&value->timer, on_timer));                                         \
		note(at + 8, bpf_timer_start(&value->timer, HOUR, 1 << 5));                                            \
		note(at + 9, bpf_timer_start(&value->timer, HOUR, 0));                                                 \
		note(at + 10, bpf_timer_cancel(&value->timer));                                                        \
		note(at + 11, bpf_timer_cancel(&value->timer));                                                        \
		note(at + 12, bpf_timer_start(&value->timer, HOUR, 0));                                                \
		note(at + 13, bpf_timer_set_callback(&value->timer, on_timer));                                        \
		note(at + 14, bpf_timer_start(&value->timer, HOUR, 0));                                                \
		note(at + 15, bpf_map_update_elem(&map, &key, &initial, 0));                                           \
		value = bpf_map_lookup_elem(&map, &key);                                                               \
		if (!value)                                                                                            \
			return 1;                                                                                      \
		note(at + 16, bpf_timer_cancel(&value->timer));                                                        \
		note(at + 17, bpf_timer_init(&value->timer, &map, 7));                                                 \
	} while (0)

SEC("tc")
int timers(struct __sk_buff *skb)
{
	TIMER(timed_array, 0);
	TIMER(timed_hash, 20);
	return 0;
}

SEC("tc")
int every_cpu(struct __sk_buff *skb)
{
	__u32 key = 3;
	__u64 value = 5;

	note(0, bpf_map_update_elem(&percpu_hash, &key, &value, 0));
	for (__u32 cpu = 0; cpu < 4; cpu++) {
		__u64 *other = bpf_map_lookup_percpu_elem(&percpu_hash, &key, cpu);

		note(1 + cpu, other ? (*other += 1) : -1ULL);
		other = bpf_map_lookup_percpu_elem(&percpu_array, &key, cpu);
		note(5 + cpu, other ? (*other += 2) : -1ULL);
	}
	return 0;
}
