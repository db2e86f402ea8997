//! Which element of an LRU map goes: `kernel/bpf/bpf_lru_list.c`, v6.12.
//!
//! Not an exact LRU. Elements move between an active and an inactive list in steps of at most `nr_scans`; a lookup only
//! sets the element's ref bit. The common flavour takes free elements from the shared list in batches of `target_free`
//! into a list of the CPU, where new ones stay *pending* until the batch is used up.

use crate::uapi::Release;

/// `LOCAL_FREE_TARGET`.
const LOCAL_FREE_TARGET: u32 = 128;
/// `PERCPU_FREE_TARGET`.
const PERCPU_FREE_TARGET: u32 = 4;
/// The head of a list, which is before its first and after its last node.
const HEAD: u32 = 0;
/// A free node that was never used and has no number yet.
const FRESH: u32 = u32::MAX;

/// `enum bpf_lru_list_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Active,
    Inactive,
    Free,
    LocalFree,
    Pending,
}

/// `struct bpf_lru_node`.
#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    kind: Kind,
    referenced: bool,
    cpu: u32,
}

/// A list of nodes in use.
#[derive(Clone, Copy, Default)]
struct List {
    first: u32,
    last: u32,
    len: u32,
}

/// Free nodes, the last one first. Under them lie those never used, which need no number.
#[derive(Clone, Default)]
struct FreeList {
    nodes: Vec<u32>,
    fresh: u32,
}

impl FreeList {
    fn pop(&mut self) -> Option<u32> {
        self.nodes.pop().or_else(|| {
            self.fresh = self.fresh.checked_sub(1)?;
            Some(FRESH)
        })
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.fresh == 0
    }
}

/// `struct bpf_lru_list`.
#[derive(Clone, Default)]
struct LruList {
    active: List,
    inactive: List,
    free: FreeList,
    /// Where the next rotation of the inactive list begins.
    next_inactive_rotation: u32,
}

/// `struct bpf_lru_locallist`.
#[derive(Clone, Default)]
struct LocalList {
    free: Vec<u32>,
    pending: List,
    next_steal: usize,
}

enum Lists {
    /// `struct bpf_common_lru`.
    Common { shared: LruList, local: Vec<LocalList>, target_free: u32 },
    /// With `BPF_F_NO_COMMON_LRU`, one list per CPU.
    Percpu(Vec<LruList>),
}

/// `struct bpf_lru`: the order of a map's elements, which are numbered from 1.
pub(super) struct Lru {
    nodes: Vec<Node>,
    lists: Lists,
}

impl Lru {
    /// `bpf_lru_populate`: all of `max_entries` nodes free; with `percpu`, in equal parts.
    pub fn new(max_entries: u32, nr_cpus: u32, percpu: bool, release: Release) -> Self {
        let part = max_entries / nr_cpus;
        let lists = if percpu {
            let list = LruList { free: FreeList { nodes: Vec::new(), fresh: part }, ..LruList::default() };
            Lists::Percpu(vec![list; nr_cpus as usize])
        } else {
            let free = FreeList { nodes: Vec::new(), fresh: max_entries };
            let local = |cpu| LocalList { next_steal: cpu, ..LocalList::default() };
            let target_free = if release.lru_batch_scales() {
                (part / 2).clamp(1, LOCAL_FREE_TARGET)
            } else {
                LOCAL_FREE_TARGET
            };
            Lists::Common {
                shared: LruList { free, ..LruList::default() },
                local: (0..nr_cpus as usize).map(local).collect(),
                target_free,
            }
        };
        let nobody = Node { prev: HEAD, next: HEAD, kind: Kind::Free, referenced: false, cpu: 0 };
        Self { nodes: vec![nobody], lists }
    }

    /// `bpf_lru_node_set_ref`: the element was used.
    #[inline]
    pub fn set_ref(&mut self, node: u32) {
        self.nodes[node as usize].referenced = true;
    }

    /// `bpf_lru_pop_free`: a node for a new element; `evict` is told of each one that has to leave the map.
    pub fn pop_free(&mut self, cpu: u32, mut evict: impl FnMut(u32)) -> Option<u32> {
        let Self { nodes, lists } = self;
        let mut links = Links { nodes, evict: &mut evict };
        match lists {
            Lists::Common { shared, local, target_free } => {
                links.pop_common(shared, local, *target_free, cpu as usize)
            }
            Lists::Percpu(lists) => links.pop_percpu(&mut lists[cpu as usize], cpu),
        }
    }

    /// `bpf_lru_push_free`: the element left the map.
    pub fn push_free(&mut self, node: u32) {
        let Node { kind, cpu, .. } = self.nodes[node as usize];
        let mut links = Links { nodes: &mut self.nodes, evict: &mut |_| () };
        match &mut self.lists {
            Lists::Common { local, .. } if kind == Kind::Pending => {
                let local = &mut local[cpu as usize];
                links.remove(&mut local.pending, node);
                links.mark(node, Kind::LocalFree);
                local.free.push(node);
            }
            Lists::Common { shared, .. } => links.free(shared, node),
            Lists::Percpu(lists) => links.free(&mut lists[cpu as usize], node),
        }
    }
}

/// The nodes, and what to tell of an eviction.
struct Links<'a> {
    nodes: &'a mut Vec<Node>,
    evict: &'a mut dyn FnMut(u32),
}

impl Links<'_> {
    fn prev(&self, list: &List, node: u32) -> u32 {
        if node == HEAD { list.last } else { self.nodes[node as usize].prev }
    }

    fn next(&self, list: &List, node: u32) -> u32 {
        if node == HEAD { list.first } else { self.nodes[node as usize].next }
    }

    fn referenced(&self, node: u32) -> bool {
        self.nodes[node as usize].referenced
    }

    fn mark(&mut self, node: u32, kind: Kind) {
        let node = &mut self.nodes[node as usize];
        (node.kind, node.referenced) = (kind, false);
    }

    fn remove(&mut self, list: &mut List, node: u32) {
        let Node { prev, next, .. } = self.nodes[node as usize];
        match prev {
            HEAD => list.first = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            HEAD => list.last = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        list.len -= 1;
    }

    fn add(&mut self, list: &mut List, node: u32, kind: Kind) {
        self.mark(node, kind);
        let first = std::mem::replace(&mut list.first, node);
        match first {
            HEAD => list.last = node,
            _ => self.nodes[first as usize].prev = node,
        }
        (self.nodes[node as usize].prev, self.nodes[node as usize].next) = (HEAD, first);
        list.len += 1;
    }

    /// Takes a node out of its active or inactive list.
    fn leave(&mut self, list: &mut LruList, node: u32) {
        if list.next_inactive_rotation == node {
            list.next_inactive_rotation = self.nodes[node as usize].prev;
        }
        match self.nodes[node as usize].kind {
            Kind::Active => self.remove(&mut list.active, node),
            Kind::Inactive => self.remove(&mut list.inactive, node),
            kind => unreachable!("a node of a shared list is active or inactive, not {kind:?}"),
        }
    }

    /// `__bpf_lru_node_move`.
    fn activate(&mut self, list: &mut LruList, node: u32) {
        self.leave(list, node);
        self.add(&mut list.active, node, Kind::Active);
    }

    fn deactivate(&mut self, list: &mut LruList, node: u32) {
        self.leave(list, node);
        self.add(&mut list.inactive, node, Kind::Inactive);
    }

    /// `bpf_lru_list_push_free`.
    fn free(&mut self, list: &mut LruList, node: u32) {
        self.leave(list, node);
        self.mark(node, Kind::Free);
        list.free.nodes.push(node);
    }

    /// `__bpf_lru_list_rotate_active`.
    fn rotate_active(&mut self, list: &mut LruList, nr_scans: u32) {
        let first = list.active.first;
        let mut node = list.active.last;
        for _ in 0..nr_scans {
            if node == HEAD {
                return;
            }
            let prev = self.nodes[node as usize].prev;
            if self.referenced(node) {
                self.activate(list, node);
            } else {
                self.deactivate(list, node);
            }
            if node == first {
                return;
            }
            node = prev;
        }
    }

    /// `__bpf_lru_list_rotate_inactive`.
    fn rotate_inactive(&mut self, list: &mut LruList, nr_scans: u32) {
        if list.inactive.len == 0 {
            return;
        }
        let mut last = self.next(&list.inactive, list.next_inactive_rotation);
        if last == HEAD {
            last = list.inactive.first;
        }
        let mut next = HEAD;
        let mut node = list.next_inactive_rotation;
        let mut scanned = 0;
        while scanned < nr_scans {
            if node == HEAD {
                node = list.inactive.last;
                continue;
            }
            next = self.prev(&list.inactive, node);
            if self.referenced(node) {
                self.activate(list, node);
            }
            if node == last {
                break;
            }
            node = next;
            scanned += 1;
        }
        list.next_inactive_rotation = next;
    }

    /// `__bpf_lru_list_rotate`.
    fn rotate(&mut self, list: &mut LruList, nr_scans: u32) {
        if list.inactive.len < list.active.len {
            self.rotate_active(list, nr_scans);
        }
        self.rotate_inactive(list, nr_scans);
    }

    /// `__bpf_lru_list_shrink`: evicts up to `target` nodes that were not used, or failing that one that was. Gives
    /// them oldest first.
    fn shrink(&mut self, list: &mut LruList, target: u32, nr_scans: u32) -> Vec<u32> {
        let mut evicted = Vec::new();
        let mut node = list.inactive.last;
        for _ in 0..nr_scans {
            if node == HEAD || evicted.len() as u32 == target {
                break;
            }
            let prev = self.nodes[node as usize].prev;
            if self.referenced(node) {
                self.activate(list, node);
            } else {
                self.leave(list, node);
                (self.evict)(node);
                evicted.push(node);
            }
            node = prev;
        }
        if evicted.is_empty() {
            let forced = if list.inactive.len > 0 { list.inactive.last } else { list.active.last };
            if forced != HEAD {
                self.leave(list, forced);
                (self.evict)(forced);
                evicted.push(forced);
            }
        }
        evicted
    }

    /// `__local_list_flush`.
    fn flush(&mut self, shared: &mut LruList, local: &mut LocalList) {
        while local.pending.last != HEAD {
            let node = local.pending.last;
            self.remove(&mut local.pending, node);
            if self.referenced(node) {
                self.add(&mut shared.active, node, Kind::Active);
            } else {
                self.add(&mut shared.inactive, node, Kind::Inactive);
            }
        }
    }

    /// `bpf_lru_list_pop_free_to_local`.
    fn refill(&mut self, shared: &mut LruList, local: &mut LocalList, target_free: u32) {
        self.flush(shared, local);
        self.rotate(shared, LOCAL_FREE_TARGET);
        let mut missing = target_free;
        while missing > 0 {
            let Some(node) = shared.free.pop() else { break };
            if node != FRESH {
                self.mark(node, Kind::LocalFree);
            }
            local.free.push(node);
            missing -= 1;
        }
        if missing > 0 {
            for node in self.shrink(shared, missing, LOCAL_FREE_TARGET) {
                self.mark(node, Kind::LocalFree);
                local.free.push(node);
            }
        }
    }

    /// `__local_list_pop_pending`: evicts the oldest pending node that was not used, or failing that the oldest.
    fn pop_pending(&mut self, local: &mut LocalList) -> Option<u32> {
        let mut node = local.pending.last;
        while node != HEAD && self.referenced(node) {
            node = self.nodes[node as usize].prev;
        }
        if node == HEAD {
            node = local.pending.last;
        }
        if node == HEAD {
            return None;
        }
        self.remove(&mut local.pending, node);
        (self.evict)(node);
        Some(node)
    }

    /// `bpf_common_lru_pop_free`.
    fn pop_common(
        &mut self,
        shared: &mut LruList,
        local: &mut [LocalList],
        target_free: u32,
        cpu: usize,
    ) -> Option<u32> {
        if local[cpu].free.is_empty() {
            self.refill(shared, &mut local[cpu], target_free);
        }
        let mut found = local[cpu].free.pop();
        if found.is_none() {
            let first = local[cpu].next_steal;
            let mut steal = first;
            loop {
                found = local[steal].free.pop().or_else(|| self.pop_pending(&mut local[steal]));
                steal = (steal + 1) % local.len();
                if found.is_some() || steal == first {
                    break;
                }
            }
            local[cpu].next_steal = steal;
        }
        let node = self.number(found?);
        self.nodes[node as usize].cpu = cpu as u32;
        self.add(&mut local[cpu].pending, node, Kind::Pending);
        Some(node)
    }

    /// `bpf_percpu_lru_pop_free`.
    fn pop_percpu(&mut self, list: &mut LruList, cpu: u32) -> Option<u32> {
        self.rotate(list, PERCPU_FREE_TARGET);
        if list.free.is_empty() {
            for node in self.shrink(list, PERCPU_FREE_TARGET, PERCPU_FREE_TARGET) {
                self.mark(node, Kind::Free);
                list.free.nodes.push(node);
            }
        }
        let found = list.free.pop()?;
        let node = self.number(found);
        self.nodes[node as usize].cpu = cpu;
        self.add(&mut list.inactive, node, Kind::Inactive);
        Some(node)
    }

    /// Numbers a node that is used for the first time.
    fn number(&mut self, node: u32) -> u32 {
        if node != FRESH {
            return node;
        }
        self.nodes.push(Node { prev: HEAD, next: HEAD, kind: Kind::Free, referenced: false, cpu: 0 });
        self.nodes.len() as u32 - 1
    }
}
