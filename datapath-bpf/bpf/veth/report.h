/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counting every packet, and telling user space about every dropped one. */
#ifndef VETH_REPORT_H
#define VETH_REPORT_H

#include "state.h"

struct metrics_key {
	enum reason reason;
	enum direction direction;
	__u16 reserved;
};

struct metrics_value {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct metrics_key);
	__type(value, struct metrics_value);
} metrics SEC(".maps");

/* Bytes of the packet, from its MAC header on, that a notification carries. */
#define CAPTURE_LEN 64

struct drop_event {
	__u32 len;
	__u32 ifindex;
	__u32 src_identity;
	__u32 dst_identity;
	struct flow flow;
	__u16 endpoint;
	enum reason reason;
	enum direction direction;
	__u8 family;
	__u8 reserved;
	__u16 captured;
};

/*
 * A record of the ring buffer. A record of the perf buffer is a drop_event and, directly behind it, the captured bytes.
 */
struct drop_record {
	struct drop_event event;
	__u8 head[CAPTURE_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events_perf SEC(".maps");

static __noinline void count(struct __sk_buff *skb, enum reason reason)
{
	struct metrics_key key = {
		.reason = reason,
		.direction = skb->cb[CB_DIRECTION],
	};
	struct metrics_value first = { .packets = 1, .bytes = skb->len };
	struct metrics_value *value = bpf_map_lookup_elem(&metrics, &key);

	if (value) {
		value->packets++;
		value->bytes += skb->len;
	} else {
		bpf_map_update_elem(&metrics, &key, &first, BPF_NOEXIST);
	}
}

/* Lets the packet through. */
static __always_inline int pass(struct __sk_buff *skb)
{
	count(skb, REASON_FORWARDED);
	return TC_ACT_OK;
}

/* Ends the packet: the last stage counts and reports it. */
static __always_inline int drop(struct __sk_buff *skb, enum reason reason)
{
	skb->cb[CB_REASON] = reason;
	call_stage(skb, STAGE_DROP);
	count(skb, REASON_MISSED_TAIL_CALL);
	return TC_ACT_SHOT;
}

/* Continues with a stage, which for lack of a program there drops the packet. */
static __always_inline int next(struct __sk_buff *skb, __u32 stage)
{
	call_stage(skb, stage);
	return drop(skb, REASON_MISSED_TAIL_CALL);
}

static __always_inline void fill_event(struct __sk_buff *skb, const struct packet *pkt, struct drop_event *event)
{
	event->len = skb->len;
	event->ifindex = skb->ifindex;
	event->src_identity = pkt->src_identity;
	event->dst_identity = pkt->dst_identity;
	event->flow = pkt->flow;
	event->endpoint = config.endpoint;
	event->reason = skb->cb[CB_REASON];
	event->direction = skb->cb[CB_DIRECTION];
	event->family = pkt->family;
	event->reserved = 0;
	event->captured = skb->len < CAPTURE_LEN ? skb->len : CAPTURE_LEN;
}

/* A function of its own, so that the record's type is in the object's BTF for consumers to find. */
static __noinline void fill_record(struct __sk_buff *skb, const struct packet *pkt, struct drop_record *record)
{
	__u32 captured = skb->len;

	if (!pkt || !record)
		return;
	fill_event(skb, pkt, &record->event);
	memset(record->head, 0, CAPTURE_LEN);
	if (captured >= CAPTURE_LEN)
		bpf_skb_load_bytes(skb, 0, record->head, CAPTURE_LEN);
	else if (captured) {
		/* Verifiers before 6.3 learn nothing from a comparison with zero. */
		captured = (captured - 1) & (CAPTURE_LEN - 1);
		barrier_var(captured);
		bpf_skb_load_bytes(skb, 0, record->head, captured + 1);
	}
}

static __always_inline void report_to_ring(struct __sk_buff *skb, const struct packet *pkt)
{
	struct drop_record *record = bpf_ringbuf_reserve(&events_ring, sizeof(*record), 0);

	if (!record)
		return;
	fill_record(skb, pkt, record);
	bpf_ringbuf_submit(record, 0);
}

static __always_inline void report_to_perf(struct __sk_buff *skb, const struct packet *pkt)
{
	struct drop_event event = {};

	fill_event(skb, pkt, &event);
	bpf_perf_event_output(skb, &events_perf, BPF_F_CURRENT_CPU | (__u64)event.captured << 32, &event,
			      sizeof(event));
}

/* The body of STAGE_DROP. */
static __always_inline int report_drop(struct __sk_buff *skb)
{
	const struct packet *pkt = packet_state();

	count(skb, skb->cb[CB_REASON]);
	if (pkt && config.events == EVENTS_RING)
		report_to_ring(skb, pkt);
	else if (pkt && config.events == EVENTS_PERF)
		report_to_perf(skb, pkt);
	return TC_ACT_SHOT;
}

#endif
