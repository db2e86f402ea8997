//! `BPF_MAP_TYPE_LPM_TRIE`: `kernel/bpf/lpm_trie.c`, v6.12.

use super::values::Values;
use super::{Change, Map, MapCtx, MapId, MapSpec};
use crate::bpf::mem::{Addr, BadAccess, Memory};
use crate::uapi::Errno;
use crate::uapi::map::{BPF_EXIST, BPF_NOEXIST};

/// No node.
const NONE: u32 = 0;
/// Bytes of a key before its data: the prefix length, in the CPU's byte order.
const HEADER: usize = 4;

/// `struct lpm_trie_node`.
#[derive(Clone, Default)]
struct Node {
    child: [u32; 2],
    prefixlen: u32,
    /// `LPM_TREE_NODE_FLAG_IM`: there only to tell its two children apart; has no value.
    intermediate: bool,
    data: Box<[u8]>,
    value: Addr,
}

/// A trie of prefixes. Memory of replaced and deleted nodes is given back after a grace period.
pub(super) struct LpmTrie {
    values: Values,
    max_entries: u32,
    max_prefixlen: u32,
    len: u32,
    root: u32,
    /// By number; the first is nobody.
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Values out of the trie that a running program may still point to.
    deferred: Vec<Addr>,
}

/// A key: how many bits of the data count, and the data, most significant bit first.
struct Key<'a> {
    prefixlen: u32,
    data: &'a [u8],
}

impl<'a> Key<'a> {
    fn parse(key: &'a [u8]) -> Self {
        let (prefixlen, data) = key.split_at(HEADER);
        Self { prefixlen: u32::from_le_bytes(prefixlen.try_into().expect("4 bytes")), data }
    }
}

/// `extract_bit`: 0 or 1.
fn bit(data: &[u8], index: u32) -> usize {
    usize::from(data[index as usize / 8] >> (7 - index % 8) & 1)
}

/// `longest_prefix_match`: how many bits two prefixes share.
#[inline]
fn matching(node: &Node, key: &Key<'_>) -> u32 {
    let limit = node.prefixlen.min(key.prefixlen);
    let mut bits = 0;
    for (a, b) in node.data.chunks(8).zip(key.data.chunks(8)) {
        let differ = word(a) ^ word(b);
        if differ != 0 {
            return (bits + differ.leading_zeros()).min(limit);
        }
        bits += 64;
        if bits >= limit {
            break;
        }
    }
    limit
}

/// Up to 8 bytes, big-endian, zeroes behind them.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => u64::from(u32::from_be_bytes([a, b, c, d])) << 32,
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)) << (64 - 8 * bytes.len()),
    }
}

/// Where a link to a node is.
#[derive(Clone, Copy)]
enum Link {
    Root,
    Child(u32, usize),
}

impl LpmTrie {
    pub fn create(id: MapId, spec: &MapSpec) -> Self {
        Self {
            values: Values::new(id, spec),
            max_entries: spec.max_entries,
            max_prefixlen: (spec.key_size - HEADER as u32) * 8,
            len: 0,
            root: NONE,
            nodes: vec![Node::default()],
            free: Vec::new(),
            deferred: Vec::new(),
        }
    }

    fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    fn follow(&self, link: Link) -> u32 {
        match link {
            Link::Root => self.root,
            Link::Child(parent, side) => self.node(parent).child[side],
        }
    }

    fn point(&mut self, link: Link, to: u32) {
        match link {
            Link::Root => self.root = to,
            Link::Child(parent, side) => self.nodes[parent as usize].child[side] = to,
        }
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            return number;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn discard(&mut self, number: u32) {
        let node = std::mem::take(&mut self.nodes[number as usize]);
        if node.value != 0 {
            self.deferred.push(node.value);
        }
        self.free.push(number);
    }

    /// `trie_lookup_elem`: the longest prefix in the trie that `key` begins with.
    fn find(&self, key: &Key<'_>) -> u32 {
        let mut found = NONE;
        if key.prefixlen > self.max_prefixlen {
            return found;
        }
        let mut at = self.root;
        while at != NONE {
            let node = self.node(at);
            let shared = matching(node, key);
            if shared == self.max_prefixlen {
                return at;
            }
            if shared < node.prefixlen {
                break;
            }
            if !node.intermediate {
                found = at;
            }
            at = node.child[bit(key.data, node.prefixlen)];
        }
        found
    }

    /// The node with exactly this prefix.
    fn find_exact(&self, key: &Key<'_>) -> u32 {
        let (link, _) = self.descend(key, |_| ());
        let at = self.follow(link);
        let node = self.node(at);
        let is_it = at != NONE
            && node.prefixlen == key.prefixlen
            && matching(node, key) == key.prefixlen
            && !node.intermediate;
        if is_it { at } else { NONE }
    }

    /// Walks down to where `key` is or would be; `visit` is told of every node on the way, the last one excluded.
    /// Gives the link at the end and the bits its node shares with the key.
    fn descend(&self, key: &Key<'_>, mut visit: impl FnMut(Link)) -> (Link, u32) {
        let mut link = Link::Root;
        let mut shared = 0;
        loop {
            let at = self.follow(link);
            if at == NONE {
                return (link, shared);
            }
            let node = self.node(at);
            shared = matching(node, key);
            if node.prefixlen != shared
                || node.prefixlen == key.prefixlen
                || node.prefixlen == self.max_prefixlen
            {
                return (link, shared);
            }
            visit(link);
            link = Link::Child(at, bit(key.data, node.prefixlen));
        }
    }

    /// Remembers what `key` is, and the node with its prefix, whose bits behind the prefix may be others.
    fn remember(&mut self, mem: &Memory, key: &[u8]) {
        if !self.values.tracked() {
            return;
        }
        let same_prefix = self.find_exact(&Key::parse(key));
        let stored = (same_prefix != NONE).then(|| self.key_of(same_prefix));
        for key in stored.iter().map(Vec::as_slice).chain([key]) {
            let value = self.read_exact(mem, key);
            self.values.remember(key, |_| value);
        }
    }

    /// The value under exactly these bytes, as a walk over all keys would find it.
    fn read_exact(&self, mem: &Memory, key: &[u8]) -> Option<Vec<u8>> {
        let at = self.find_exact(&Key::parse(key));
        self.read(mem, at).filter(|_| self.key_of(at) == key)
    }

    fn read(&self, mem: &Memory, at: u32) -> Option<Vec<u8>> {
        (at != NONE).then(|| self.values.read(mem, self.node(at).value))
    }

    fn key_of(&self, at: u32) -> Vec<u8> {
        let node = self.node(at);
        [&node.prefixlen.to_le_bytes()[..], &node.data].concat()
    }

    /// `trie_check_add_elem`.
    fn check_add(&self, flags: u64) -> Result<(), Errno> {
        if flags == BPF_EXIST {
            return Err(Errno::ENOENT);
        }
        if self.len == self.max_entries {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// The first node in postorder below `at`, intermediate ones left out.
    fn leftmost(&self, mut at: u32) -> u32 {
        let mut found = NONE;
        while at != NONE {
            let node = self.node(at);
            if node.intermediate {
                at = node.child[0];
            } else {
                found = at;
                at = if node.child[0] == NONE { node.child[1] } else { node.child[0] };
            }
        }
        found
    }

    /// `trie_get_next_key`: the node after `key` in postorder, from the start if `key` is absent; [`NONE`] at the end.
    fn next(&self, key: Option<&Key<'_>>) -> u32 {
        let Some(key) = key.filter(|key| key.prefixlen <= self.max_prefixlen) else {
            return self.leftmost(self.root);
        };
        let mut path = Vec::new();
        let (link, shared) = self.descend(key, |link| path.push(self.follow(link)));
        let mut at = self.follow(link);
        if at == NONE || self.node(at).prefixlen != shared || self.node(at).intermediate {
            return self.leftmost(self.root);
        }
        while let Some(parent) = path.pop() {
            let node = self.node(parent);
            if node.child[0] == at && node.child[1] != NONE {
                return self.leftmost(node.child[1]);
            }
            if !node.intermediate {
                return parent;
            }
            at = parent;
        }
        NONE
    }
}

impl Map for LpmTrie {
    fn lookup(&mut self, ctx: &mut MapCtx<'_>, key: Addr) -> Result<Addr, BadAccess> {
        let key = ctx.mem.guest(key, u64::from(self.max_prefixlen) / 8 + HEADER as u64)?;
        let at = self.find(&Key::parse(key));
        if at != NONE && self.values.writable() && self.values.tracked() {
            let found = self.key_of(at);
            self.remember(ctx.mem, &found);
        }
        Ok(self.node(at).value)
    }

    /// `kernel/bpf/lpm_trie.c: trie_update_elem`, v6.12.
    fn update(&mut self, ctx: &mut MapCtx<'_>, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let whole = key;
        let key = Key::parse(key);
        if key.prefixlen > self.max_prefixlen {
            return Err(Errno::EINVAL);
        }
        let (link, shared) = self.descend(&key, |_| ());
        let at = self.follow(link);
        let replaces = at != NONE && self.node(at).prefixlen == shared;
        let exists = replaces && !self.node(at).intermediate;
        if !exists {
            self.check_add(flags)?;
        } else if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        self.remember(ctx.mem, whole);
        let addr = self.values.alloc(ctx.mem).ok_or(Errno::ENOMEM)?;
        self.len += u32::from(!exists);
        self.values.write(ctx.mem, addr, value);
        let new = self.add(Node {
            child: [NONE; 2],
            prefixlen: key.prefixlen,
            intermediate: false,
            data: key.data.into(),
            value: addr,
        });
        if at == NONE {
            self.point(link, new);
        } else if replaces {
            self.nodes[new as usize].child = self.node(at).child;
            self.point(link, new);
            self.discard(at);
        } else if shared == key.prefixlen {
            let side = bit(&self.node(at).data, shared);
            self.nodes[new as usize].child[side] = at;
            self.point(link, new);
        } else {
            let mut child = [new; 2];
            child[1 - bit(key.data, shared)] = at;
            let data = self.node(at).data.clone();
            let between = self.add(Node { child, prefixlen: shared, intermediate: true, data, value: 0 });
            self.point(link, between);
        }
        Ok(())
    }

    /// `kernel/bpf/lpm_trie.c: trie_delete_elem`, v6.12.
    fn delete(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<(), Errno> {
        let whole = key;
        let key = Key::parse(key);
        if key.prefixlen > self.max_prefixlen {
            return Err(Errno::EINVAL);
        }
        let mut above = None;
        let (link, shared) = self.descend(&key, |link| above = Some(link));
        let at = self.follow(link);
        let node = self.node(at);
        if at == NONE || node.prefixlen != key.prefixlen || node.prefixlen != shared || node.intermediate {
            return Err(Errno::ENOENT);
        }
        self.remember(ctx.mem, whole);
        self.len -= 1;
        let [left, right] = self.node(at).child;
        if left != NONE && right != NONE {
            let node = &mut self.nodes[at as usize];
            node.intermediate = true;
            self.deferred.push(std::mem::take(&mut node.value));
            return Ok(());
        }
        let parent = above.map_or(NONE, |above| self.follow(above));
        if let Some(above) = above
            && self.node(parent).intermediate
            && left == NONE
            && right == NONE
        {
            let children = self.node(parent).child;
            let sibling = if children[0] == at { children[1] } else { children[0] };
            self.point(above, sibling);
            self.discard(parent);
        } else {
            self.point(link, if left == NONE { right } else { left });
        }
        self.discard(at);
        Ok(())
    }

    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.read(ctx.mem, self.find(&Key::parse(key))).ok_or(Errno::ENOENT)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        match self.next(key.map(Key::parse).as_ref()) {
            NONE => Err(Errno::ENOENT),
            at => Ok(self.key_of(at)),
        }
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let mut next = self.next_key(None).ok();
        let advance = || {
            let key = next.take()?;
            next = self.next_key(Some(&key)).ok();
            Some(key)
        };
        std::iter::from_fn(advance).collect()
    }

    fn track(&mut self, on: bool) {
        self.values.track(on);
    }

    fn changes(&mut self, ctx: &mut MapCtx<'_>) -> Vec<Change> {
        let remembered = self.values.take_remembered();
        remembered
            .into_iter()
            .filter_map(|(key, before)| {
                let after = self.read_exact(ctx.mem, &key);
                self.values.change(key, before, after)
            })
            .collect()
    }

    fn synchronize_rcu(&mut self, mem: &mut Memory) {
        for addr in self.deferred.drain(..) {
            mem.free(addr);
        }
    }
}
