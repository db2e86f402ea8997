/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * C unit tests for `bpftwin suite`: sections for the steps of a test, and macros with which a check says what it found,
 * in protobuf wire format, in suite_result_map, and which packets it found wrong, in scapy_assert_map.
 */
#ifndef BPFTWIN_UNIT_H
#define BPFTWIN_UNIT_H

#include "abi.h"

#define PKTGEN(type, name) SEC(type "/test/" name "/pktgen")
#define SETUP(type, name) SEC(type "/test/" name "/setup")
#define CHECK(type, name) SEC(type "/test/" name "/check")
/* A program in a slot of a prog array. */
#define TAIL(type, map, slot) __attribute__((btf_decl_tag("tail:" #map "/" #slot))) SEC(type "/tail")
#define ENTRY(type) SEC(type "/entry")

enum code { CODE_ERROR = 100, CODE_PASS = 101, CODE_FAIL = 102, CODE_SKIP = 103 };

#define LIBBPF_PIN_BY_NAME 1

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 8192);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} suite_result_map SEC(".maps");

char _license[] SEC("license") = "Dual BSD/GPL";

/* A check between these; what it returns is the worst of what happened. */
#define BEGIN()                                                          \
	__u8 *cursor, *length = NULL, *status = NULL;                    \
	int code = CODE_PASS;                                            \
	__u32 zero = 0;                                                  \
	cursor = bpf_map_lookup_elem(&suite_result_map, &zero);          \
	if (!cursor)                                                     \
		return CODE_ERROR;
#define END() return code

#define PUT_BYTE(byte) (*cursor++ = (byte))
/* A length of one byte and the text with its NUL. */
#define PUT_TEXT(text)                                                   \
	do {                                                             \
		static const char bytes_of[] = text;                     \
		PUT_BYTE(sizeof(bytes_of));                              \
		memcpy(cursor, bytes_of, sizeof(bytes_of));              \
		cursor += sizeof(bytes_of);                              \
	} while (0)
#define PUT_U64(number)                                                  \
	do {                                                             \
		__u64 value_of = (number);                               \
		PUT_BYTE(2 << 3 | 1);                                    \
		memcpy(cursor, &value_of, 8);                            \
		cursor += 8;                                             \
	} while (0)
#define LOG_HEAD(text, args)                                             \
	do {                                                             \
		PUT_BYTE((status ? 3 : 2) << 3 | 2);                     \
		PUT_BYTE(2 + sizeof(text) + 9 * (args));                 \
		PUT_BYTE(1 << 3 | 2);                                    \
		PUT_TEXT(text);                                          \
	} while (0)
#define LOG(text) LOG_HEAD(text, 0)
#define LOG1(text, a)                                                    \
	do {                                                             \
		LOG_HEAD(text, 1);                                       \
		PUT_U64(a);                                              \
	} while (0)
#define LOG2(text, a, b)                                                 \
	do {                                                             \
		LOG_HEAD(text, 2);                                       \
		PUT_U64(a);                                              \
		PUT_U64(b);                                              \
	} while (0)

/* Ends the part, or outside of parts the check's good name. */
#define SET(verdict)                                                     \
	do {                                                             \
		if (status)                                              \
			*status = (verdict);                             \
		else                                                     \
			code = (verdict);                                \
	} while (0)
#define TEXT_OF(line) #line
#define LINE_OF(line) TEXT_OF(line)
#define EXPECT(condition)                                                \
	if (!(condition)) {                                              \
		LOG("expected " #condition " at " __FILE__ ":" LINE_OF(__LINE__)); \
		SET(CODE_FAIL);                                          \
	}

/* A part: PART("name") { ... } PART_END(); its length takes two bytes, whatever it is. */
#define PART(name)                                                       \
	PUT_BYTE(1 << 3 | 2);                                            \
	length = cursor;                                                 \
	cursor += 2;                                                     \
	PUT_BYTE(1 << 3 | 2);                                            \
	PUT_TEXT(name);                                                  \
	PUT_BYTE(2 << 3);                                                \
	status = cursor++;                                               \
	*status = CODE_PASS;
#define PART_END()                                                       \
	do {                                                             \
		__u16 size = cursor - length - 2;                        \
		length[0] = (size & 0x7f) | 0x80;                        \
		length[1] = size >> 7;                                   \
		status = NULL;                                           \
	} while (0)

#define PACKET_MAX 1518
/* A packet that is not as expected. */
struct mismatch {
	char name[128];
	char file[128];
	char line[128];
	char first_layer[128];
	__u16 expected_len;
	__u8 expected[PACKET_MAX];
	__u16 got_len;
	__u8 got[PACKET_MAX];
	__u8 pad[2];
};

#ifdef WITH_PACKETS
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct mismatch);
} scapy_assert_map SEC(".maps");

__u32 mismatches;

static __always_inline int differ(const __u8 *a, const __u8 *b, __u32 len)
{
	for (__u32 i = 0; i < len; i++)
		if (a[i] != b[i])
			return 1;
	return 0;
}

/* Expects `want` (an array) at `offset` of the packet. */
#define EXPECT_PACKET(ctx, label, layer, offset, want)                   \
	do {                                                             \
		__u8 have[sizeof(want)] = {};                            \
		int missing = bpf_skb_load_bytes(ctx, offset, have, sizeof(have)); \
		if (missing || differ(want, have, sizeof(have))) {       \
			__u32 index = mismatches++ & 255;                \
			struct mismatch *at = bpf_map_lookup_elem(&scapy_assert_map, &index); \
			if (!at)                                         \
				return CODE_ERROR;                       \
			memcpy(at->name, label, sizeof(label));          \
			memcpy(at->file, __FILE__, sizeof(__FILE__));    \
			memcpy(at->line, LINE_OF(__LINE__), sizeof(LINE_OF(__LINE__))); \
			memcpy(at->first_layer, layer, sizeof(layer));   \
			at->expected_len = sizeof(have);                 \
			memcpy(at->expected, want, sizeof(have));        \
			at->got_len = missing ? 0 : sizeof(have);        \
			memcpy(at->got, have, sizeof(have));             \
			SET(CODE_FAIL);                                  \
		}                                                        \
	} while (0)
#endif

/* Puts these bytes at the start of a packet of just their length. */
static __always_inline int make_packet(struct __sk_buff *skb, const void *bytes, __u32 len)
{
	if (bpf_skb_change_tail(skb, len, 0) || bpf_skb_store_bytes(skb, 0, bytes, len, 0))
		return CODE_ERROR;
	return 0;
}

/* A UDP packet from 10.0.0.1:1024 to 10.0.0.2:53 with four bytes in it. */
#define UDP_PACKET                                                       \
	{                                                                \
		0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,    \
		0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0x66, 0xca,          \
		10, 0, 0, 1, 10, 0, 0, 2,                                \
		4, 0, 0, 53, 0, 12, 0, 0, 'd', 'a', 't', 'a',            \
	}

#endif
