//! Ring buffers and perf event arrays.

use super::{Bench, spec};
use crate::bpf::map::{Reference, RingbufQuery};
use crate::uapi::{Errno, MapType};

impl Bench {
    fn reserve(&mut self, size: u64) -> Option<u64> {
        let (maps, ctx) = self.machine.maps();
        maps.map(self.id).ringbuf().unwrap().reserve(ctx.mem, size)
    }

    fn commit(&mut self, sample: u64, discard: bool) {
        let (maps, ctx) = self.machine.maps();
        assert!(maps.ringbuf_commit(ctx.mem, sample, discard));
    }

    fn output(&mut self, data: &[u8]) -> Result<(), Errno> {
        self.machine.maps.map(self.id).ringbuf().unwrap().output(data)
    }

    fn query(&mut self, query: RingbufQuery) -> u64 {
        self.machine.maps.map(self.id).ringbuf().unwrap().query(query)
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        self.machine.maps.drain().into_iter().map(|record| record.data).collect()
    }
}

#[test]
fn a_ring_holds_one_byte_less_than_its_size() {
    let mut bench = Bench::new(&spec(MapType::Ringbuf, 4096));
    assert_eq!(bench.reserve(4089), None, "with its header, more than the ring");
    assert_eq!(bench.reserve(4088), None, "the ring may not be full to the last byte");
    assert_eq!(bench.reserve(u64::MAX), None);
    let record = bench.reserve(4080).unwrap();
    assert_eq!(bench.query(RingbufQuery::ProdPos), 4088);
    assert_eq!(bench.output(&[]), Err(Errno::EAGAIN));
    bench.commit(record, false);
    assert_eq!(bench.query(RingbufQuery::AvailData), 4088);
    assert_eq!(bench.output(&[]), Err(Errno::EAGAIN), "nothing was consumed yet");
    assert_eq!(bench.drain(), [vec![0; 4080]]);
    assert_eq!((bench.query(RingbufQuery::ConsPos), bench.query(RingbufQuery::RingSize)), (4088, 4096));
    assert_eq!(bench.output(&[1]), Ok(()));
    assert_eq!(bench.drain(), [[1]]);
}

#[test]
fn an_open_record_holds_back_the_later_ones() {
    let mut bench = Bench::new(&spec(MapType::Ringbuf, 4096));
    bench.output(&[1]).unwrap();
    let open = bench.reserve(3).unwrap();
    bench.output(&[2]).unwrap();
    assert_eq!(bench.drain(), [[1]]);
    assert!(bench.machine.mem.store(open + 3, 1, 0).is_err());
    bench.machine.mem.store(open, 2, 0x0605).unwrap();
    bench.commit(open, false);
    assert!(bench.machine.mem.load(open, 1).is_err(), "a submitted record is gone");
    let discarded = bench.reserve(8).unwrap();
    bench.commit(discarded, true);
    bench.output(&[3]).unwrap();
    assert_eq!(bench.drain(), [vec![5, 6, 0], vec![2], vec![3]]);
}

#[test]
fn what_a_program_leaves_unwritten_is_what_was_there() {
    let mut bench = Bench::new(&spec(MapType::Ringbuf, 4096));
    for len in [2032, 2032, 8] {
        bench.output(&vec![7; len]).unwrap();
        bench.drain();
    }
    // Once around the ring: the header and the bytes of the first record.
    let record = bench.reserve(16).unwrap();
    bench.commit(record, false);
    let record = bench.reserve(1).unwrap();
    bench.commit(record, false);
    assert_eq!(bench.drain(), [vec![7; 16], vec![7]]);
}

#[test]
fn an_event_takes_records_on_its_cpu() {
    let mut bench = Bench::new(&spec(MapType::PerfEventArray, 3));
    bench.machine.maps.open_perf_buffers(2).unwrap();
    let stray = Reference::PerfEvent { cpu: 0 };
    bench.machine.maps.sys_update_reference(bench.id, &[1, 0, 0, 0], stray, 0).unwrap();
    let map = bench.machine.maps.map(bench.id);
    assert_eq!(map.perf_output(0, 3, vec![1]), Err(Errno::E2BIG));
    assert_eq!(map.perf_output(0, 2, vec![1]), Err(Errno::ENOENT));
    assert_eq!(map.perf_output(1, 0, vec![1]), Err(Errno::EOPNOTSUPP));
    assert_eq!(map.perf_output(0, 1, vec![2; 5]), Ok(()));
    assert_eq!(map.perf_output(0, 0, vec![1; 4]), Ok(()));
    assert_eq!(bench.drain(), [vec![1; 4], vec![2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(bench.drain(), [[0; 0]; 0]);
}
