//! The buckets all hash maps share: `kernel/bpf/hashtab.c`, v6.12.

use super::jhash::jhash;
use super::paged::Paged;
use super::values::Values;
use super::{Element, Walk};
use crate::bpf::mem::{Addr, Memory};
use crate::uapi::Errno;

/// No element.
pub(super) const NONE: u32 = 0;

/// A hash table as the kernel's `struct bpf_htab`: `roundup_pow_of_two(max_entries)` buckets, each a list that grows at
/// its head, so that elements come in the kernel's order. The kernel seeds the hash with a random number unless the map
/// has `BPF_F_ZERO_SEED`; here the seed is always zero.
///
/// Elements are numbered from 1 and keep their number, and the memory of their value, for good.
pub(super) struct Table {
    key_size: usize,
    /// Values per element: 1, or the possible CPUs.
    cpus: usize,
    buckets: u64,
    /// The first element of each bucket.
    heads: Paged,
    /// By element number; the first is nobody.
    nodes: Vec<Node>,
    keys: Vec<u8>,
    /// Addresses of values, by element and CPU.
    addrs: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    next: u32,
    hash: u32,
}

impl Table {
    pub fn new(key_size: u32, max_entries: u32, cpus: u32) -> Self {
        let (key_size, cpus) = (key_size as usize, cpus as usize);
        Self {
            key_size,
            cpus,
            buckets: u64::from(max_entries).next_power_of_two(),
            heads: Paged::default(),
            nodes: vec![Node::default()],
            keys: vec![0; key_size],
            addrs: vec![0; cpus],
        }
    }

    /// Bytes of a key.
    #[inline]
    pub const fn key_size(&self) -> usize {
        self.key_size
    }

    /// The element with this key, [`NONE`] if there is none.
    #[inline]
    pub fn find(&self, key: &[u8]) -> u32 {
        // Lengths that keys often have, so that what depends on them is known beforehand.
        match key.len() {
            4 => self.find_sized::<4>(key),
            8 => self.find_sized::<8>(key),
            16 => self.find_sized::<16>(key),
            _ => self.chain(jhash(key, 0), |slot| self.key(slot) == key),
        }
    }

    #[inline]
    fn find_sized<const N: usize>(&self, key: &[u8]) -> u32 {
        let key: &[u8; N] = key.try_into().expect("it has been looked at");
        let is_key = |slot| self.keys[slot as usize * N..].first_chunk() == Some(key);
        self.chain(jhash(key, 0), is_key)
    }

    /// The element of its bucket that has this hash and is the one.
    #[inline]
    fn chain(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> u32 {
        let mut slot = self.heads.get(self.bucket(hash));
        while slot != NONE {
            let node = self.nodes[slot as usize];
            if node.hash == hash && is_key(slot) {
                break;
            }
            slot = node.next;
        }
        slot
    }

    #[inline]
    fn bucket(&self, hash: u32) -> u64 {
        u64::from(hash) & (self.buckets - 1)
    }

    /// The bytes of an element's key.
    #[inline]
    pub fn key(&self, slot: u32) -> &[u8] {
        &self.keys[slot as usize * self.key_size..][..self.key_size]
    }

    /// The address of an element's value in column `cpu`.
    #[inline]
    pub fn addr(&self, slot: u32, cpu: u32) -> Addr {
        Addr::from(self.addrs[slot as usize * self.cpus + cpu as usize])
    }

    /// The addresses of an element's values.
    pub fn addrs(&self, slot: u32) -> &[u32] {
        &self.addrs[slot as usize * self.cpus..][..self.cpus]
    }

    /// Sets what stands in place of an element's first address.
    pub fn set_addr(&mut self, slot: u32, addr: u32) {
        self.addrs[slot as usize * self.cpus] = addr;
    }

    /// The number the next new element gets.
    pub fn next_slot(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// A new element, in no bucket yet, with these values.
    pub fn add(&mut self, addrs: impl Iterator<Item = u32>) -> u32 {
        let slot = self.next_slot();
        self.nodes.push(Node::default());
        self.keys.resize(self.keys.len() + self.key_size, 0);
        self.addrs.extend(addrs);
        slot
    }

    /// A new element, in no bucket yet, with zero values in guest memory; `None` when that is used up.
    pub fn add_values(&mut self, values: &Values, mem: &mut Memory) -> Option<u32> {
        let addrs: Option<Vec<u32>> =
            (0..self.cpus).map(|_| values.alloc(mem).map(|addr| addr as u32)).collect();
        Some(self.add(addrs?.into_iter()))
    }

    /// Gives an element its key and puts it at the head of its bucket.
    pub fn link(&mut self, slot: u32, key: &[u8]) {
        let hash = jhash(key, 0);
        let bucket = self.bucket(hash);
        self.keys[slot as usize * self.key_size..][..self.key_size].copy_from_slice(key);
        self.nodes[slot as usize] = Node { next: self.heads.get(bucket), hash };
        self.heads.set(bucket, slot);
    }

    /// Takes an element out of its bucket. Whoever stands on it still finds the way on, as with
    /// `hlist_nulls_del_rcu`.
    pub fn unlink(&mut self, slot: u32) {
        let Node { next, hash } = self.nodes[slot as usize];
        let bucket = self.bucket(hash);
        let mut at = self.heads.get(bucket);
        if at == slot {
            self.heads.set(bucket, next);
            return;
        }
        while self.nodes[at as usize].next != slot {
            at = self.nodes[at as usize].next;
        }
        self.nodes[at as usize].next = next;
    }

    /// `htab_map_get_next_key`: the key after `key`; the first one if `key` is absent.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let slot = key.map_or(NONE, |key| self.find(key));
        let next = match self.nodes[slot as usize] {
            Node { hash, next: NONE } if slot != NONE => self.heads.first_set(self.bucket(hash) + 1),
            Node { next, .. } if slot != NONE => Some((0, next)),
            _ => self.heads.first_set(0),
        };
        next.map(|(_, slot)| self.key(slot).to_vec()).ok_or(Errno::ENOENT)
    }

    /// `bpf_for_each_hash_elem`: the next element and its value in column `cpu`.
    pub fn walk(&self, walk: &mut Walk, cpu: u32) -> Option<(u32, Element)> {
        if walk.slot == NONE {
            let (bucket, slot) = self.heads.first_set(walk.at)?;
            *walk = Walk { at: bucket + 1, slot };
        }
        let slot = walk.slot;
        walk.slot = self.nodes[slot as usize].next;
        Some((slot, Element { key: self.key(slot).to_vec(), value: self.addr(slot, cpu) }))
    }

    /// The key of the element one of whose values is at this address, which it keeps when it leaves the map. Looks
    /// everywhere.
    pub fn key_of_value(&self, addr: u32) -> Option<Vec<u8>> {
        let place = self.addrs.iter().position(|&a| a == addr)?;
        Some(self.key((place / self.cpus) as u32).to_vec())
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut walk = Walk::default();
        std::iter::from_fn(|| self.walk(&mut walk, 0)).map(|(_, element)| element.key).collect()
    }
}
