// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* XDP tests: no context between steps, head and tail of the packet moved, one test skipped. */
#include "unit.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 2);
} calls SEC(".maps");

TAIL("xdp", calls, 1) int tail_drop(struct xdp_md *xdp)
{
	return bpf_xdp_adjust_head(xdp, 14) ? XDP_ABORTED : XDP_DROP;
}

PKTGEN("xdp", "drop") int drop_pktgen(struct xdp_md *xdp)
{
	__u8 bytes[] = UDP_PACKET;
	__u8 *at;

	if (bpf_xdp_adjust_tail(xdp, (int)sizeof(bytes) - 3520))
		return CODE_ERROR;
	at = (void *)(long)xdp->data;
	if (at + sizeof(bytes) > (__u8 *)(long)xdp->data_end)
		return CODE_ERROR;
	memcpy(at, bytes, sizeof(bytes));
	return 0;
}

SETUP("xdp", "drop") int drop_setup(struct xdp_md *xdp)
{
	bpf_tail_call(xdp, &calls, 1);
	return CODE_ERROR;
}

CHECK("xdp", "drop") int drop_check(struct xdp_md *xdp)
{
	__u8 *at = (void *)(long)xdp->data;
	BEGIN();

	EXPECT(bpf_xdp_get_buff_len(xdp) == 36);
	if (at + 36 > (__u8 *)(long)xdp->data_end)
		return CODE_FAIL;
	EXPECT(at[0] == XDP_DROP && !at[1]);
	EXPECT(at[4] == 0x45);
	END();
}

CHECK("xdp", "later") int later_check(struct xdp_md *xdp)
{
	BEGIN();
	LOG("not on a Thursday");
	return CODE_SKIP;
}
