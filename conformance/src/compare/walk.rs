//! What taps saw: frame by frame at each tap. Across taps there is no order to compare.

use bpftwin_sim::uapi::Errno;

use super::{Comparing, data_differences};
use crate::case::Link;
use crate::observation::{Direction, Drop, Frame, Tap, Walk};

/// Drops in order, as text.
fn text(drops: &[Drop]) -> String {
    let texts: Vec<String> =
        drops.iter().map(|drop| format!("{}:{} {}", drop.namespace, drop.device, drop.reason)).collect();
    texts.join(", ")
}

/// What sending failed with.
pub(super) fn errno(errno: i32) -> String {
    match (errno, Errno::from_raw(errno).name()) {
        (0, _) => "sent".to_owned(),
        (_, Some(name)) => format!("{name} ({errno})"),
        (_, None) => format!("errno {errno}"),
    }
}

impl Comparing<'_> {
    /// Every tap of the topology counts, also one at which nothing was seen.
    pub(super) fn walks(&mut self, index: usize, left: &Walk, right: &Walk) {
        if self.counts("errno") && left.errno != right.errno {
            let (l, r) = (errno(left.errno), errno(right.errno));
            self.differ(Some(index), "errno", "", l, r, None);
        }
        for tap in self.taps() {
            let at = |walk: &'_ Walk| -> Vec<Frame> {
                walk.frames.iter().filter(|frame| frame.tap == tap).cloned().collect()
            };
            let (left, right) = (at(left), at(right));
            let place = tap.to_string();
            if self.counts("frames") && left.len() != right.len() {
                let (l, r) = (left.len().to_string(), right.len().to_string());
                self.differ(Some(index), "frames", &place, l, r, None);
            }
            for (number, (l, r)) in left.iter().zip(&right).enumerate() {
                let mut tally = std::mem::take(&mut self.result.tally);
                let found = data_differences(&l.data, &r.data, self.ignores, &mut tally);
                self.result.tally = tally;
                for (field, lt, rt) in found {
                    let place = format!("{place} frame {}", number + 1);
                    self.differ(Some(index), &field, &place, lt, rt, Some((&l.data, &r.data)));
                }
            }
        }
        match (&left.drops, &right.drops) {
            (Some(l), Some(r)) => {
                let (l, r) = (text(l), text(r));
                if self.counts("drops") && l != r {
                    self.differ(Some(index), "drops", "", l, r, None);
                }
            }
            (None, None) => {}
            _ => self.result.tally.leave_out("drops: a plane cannot tell", 1),
        }
    }

    fn taps(&self) -> Vec<Tap> {
        let ends = self.case.topology.iter().flat_map(|topology| &topology.links).flat_map(Link::ends);
        let both = ends.flat_map(|end| {
            [Direction::In, Direction::Out].map(|direction| Tap {
                namespace: end.namespace.clone(),
                device: end.device.name.clone(),
                direction,
            })
        });
        both.collect()
    }
}
