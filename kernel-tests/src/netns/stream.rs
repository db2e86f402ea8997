//! What programs of the rig itself report, from every CPU, in the order of time.

use libbpf_sys as kernel;

use crate::failure::Failure;
use crate::sys::{Map, Overflow, PerfBuffer, possible_cpus};

/// A perf event array and its buffers. Every record starts with the time, `bpf_ktime_get_ns()`, as 8 bytes.
pub struct Stream {
    map: Map,
    buffers: Vec<PerfBuffer>,
}

impl Stream {
    /// An empty one.
    pub fn new() -> Result<Self, Failure> {
        let cpus = possible_cpus();
        let map = Map::new(kernel::BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, cpus, 0)
            .map_err(|errno| Failure::Harness(format!("cannot make a perf event array: {errno}")))?;
        let mut stream = Self { map, buffers: Vec::new() };
        for cpu in 0..cpus {
            let buffer = stream.open(cpu)?;
            stream.buffers.push(buffer);
        }
        Ok(stream)
    }

    /// The map's descriptor, for programs.
    pub fn raw(&self) -> u32 {
        self.map.raw()
    }

    /// Takes every record since the last time.
    pub fn drain(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut records = Vec::new();
        for cpu in 0..self.buffers.len() {
            let taken = self.buffers[cpu].drain().map_err(|Overflow| {
                let most = PerfBuffer::AT_ONCE;
                Failure::Harness(format!("more than {most} bytes of frames in one step"))
            })?;
            records.extend(taken);
            if self.buffers[cpu].is_used_up() {
                self.buffers[cpu] = self.open(cpu as u32)?;
            }
        }
        // Those of one CPU are in order already.
        records.sort_by_key(|record| u64::from(word(record, 1)) << 32 | u64::from(word(record, 0)));
        Ok(records)
    }

    /// Opens CPU `cpu`'s buffer and puts it into the map.
    fn open(&self, cpu: u32) -> Result<PerfBuffer, Failure> {
        let failed = |errno| Failure::Harness(format!("cannot open a perf buffer on CPU {cpu}: {errno}"));
        let buffer = PerfBuffer::open(cpu).map_err(failed)?;
        self.map.update(&cpu.to_ne_bytes(), &buffer.fd().to_ne_bytes(), 0).map_err(failed)?;
        Ok(buffer)
    }
}

/// The 4 bytes with this number, little endian as the machine is.
pub fn word(record: &[u8], number: usize) -> u32 {
    u32::from_le_bytes(record[4 * number..4 * number + 4].try_into().expect("4 bytes"))
}

/// One instruction slot.
pub const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (off as u16 as u64) << 16
        | (imm as u32 as u64) << 32
}
