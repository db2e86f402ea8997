// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* One test per way to fail, and what a suite must do with the test behind it: run it. */
#define WITH_PACKETS
#include "unit.h"

CHECK("tc", "check_error") int check_error(struct __sk_buff *skb)
{
	return CODE_ERROR;
}

CHECK("tc", "check_fail") int check_fail(struct __sk_buff *skb)
{
	BEGIN();
	LOG2("len %u, mark %#llx", skb->len, skb->mark);
	EXPECT(skb->len == 3);
	END();
}

CHECK("tc", "check_unknown_code") int check_unknown_code(struct __sk_buff *skb)
{
	return 7;
}

SETUP("tc", "check_missing") int check_missing(struct __sk_buff *skb)
{
	return 0;
}

CHECK("tc", "check_twice") int check_first(struct __sk_buff *skb)
{
	return CODE_PASS;
}

CHECK("tc", "check_twice") int check_second(struct __sk_buff *skb)
{
	return CODE_PASS;
}

CHECK("tc", "part_fails") int part_fails(struct __sk_buff *skb)
{
	BEGIN();
	PART("good") {
		EXPECT(skb->len == 3520);
	} PART_END();
	PART("bad") {
		LOG1("mark is %d", skb->mark);
		EXPECT(skb->mark == 1);
	} PART_END();
	PART("not today") {
		SET(CODE_SKIP);
	} PART_END();
	END();
}

CHECK("tc", "part_error") int part_error(struct __sk_buff *skb)
{
	BEGIN();
	PART("broken") {
		SET(CODE_ERROR);
	} PART_END();
	END();
}

PKTGEN("tc", "pktgen_error") int pktgen_error(struct __sk_buff *skb)
{
	return CODE_ERROR;
}

SETUP("tc", "pktgen_error") int pktgen_error_setup(struct __sk_buff *skb)
{
	mismatches += 100;
	return 0;
}

CHECK("tc", "pktgen_error") int pktgen_error_check(struct __sk_buff *skb)
{
	return CODE_PASS;
}

SETUP("tc", "setup_fails") int setup_fails(struct __sk_buff *skb)
{
	return CODE_FAIL;
}

CHECK("tc", "setup_fails") int setup_fails_check(struct __sk_buff *skb)
{
	return CODE_PASS;
}

/* The context says the packet was 3,520 bytes; four lead it now (convert___skb_to_skb, net/bpf/test_run.c). */
SETUP("tc", "setup_refused") int setup_refused(struct __sk_buff *skb)
{
	return 0;
}

CHECK("tc", "setup_refused") int setup_refused_check(struct __sk_buff *skb)
{
	return CODE_PASS;
}

CHECK("tc", "result_garbage") int result_garbage(struct __sk_buff *skb)
{
	BEGIN();
	PART("whole") {
	} PART_END();
	PUT_BYTE(0x55);
	END();
}

/* A part that is left without its length. */
CHECK("tc", "result_open") int result_open(struct __sk_buff *skb)
{
	BEGIN();
	PART("open");
	return CODE_PASS;
}

CHECK("tc", "result_cut") int result_cut(struct __sk_buff *skb)
{
	BEGIN();
	PUT_BYTE(1 << 3 | 2);
	PUT_BYTE(0xff);
	PUT_BYTE(0x7f);
	END();
}

PKTGEN("tc", "packet_differs") int packet_pktgen(struct __sk_buff *skb)
{
	__u8 packet[] = UDP_PACKET;

	return make_packet(skb, packet, sizeof(packet));
}

CHECK("tc", "packet_differs") int packet_differs(struct __sk_buff *skb)
{
	__u8 want[] = UDP_PACKET;
	__u8 udp[8] = { 4, 0, 0, 80, 0, 12, 0, 1 };
	__u8 beyond[4] = { 1, 2, 3, 4 };
	BEGIN();

	EXPECT_PACKET(skb, "as made", "Ether", 0, want);
	want[5] = 9;
	want[22] = 63;
	want[33] = 7;
	PART("routed") {
		EXPECT_PACKET(skb, "routed", "Ether", 0, want);
	} PART_END();
	EXPECT_PACKET(skb, "port", "UDP", 34, udp);
	EXPECT_PACKET(skb, "beyond", "Raw", 44, beyond);
	END();
}

CHECK("tc", "skipped") int skipped(struct __sk_buff *skb)
{
	return CODE_SKIP;
}

CHECK("tc", "zz_behind_all_is_run") int behind_all(struct __sk_buff *skb)
{
	BEGIN();
	/* Three mismatches, and no setup behind a pktgen that failed. */
	EXPECT(mismatches == 3);
	END();
}
