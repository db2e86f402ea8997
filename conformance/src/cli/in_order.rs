//! Work on several items at a time, told of in their order.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Stop;

/// Does `work` for every item, `jobs` at a time, or as many as there are processors. Gives `tell` each result with the
/// time it took, in the order of the items and as soon as it is that one's turn, until it says to stop. What was begun
/// by then is finished.
pub fn in_order<T: Sync, R: Send>(
    items: &[T],
    jobs: Option<u16>,
    work: impl Fn(&T) -> R + Sync,
    mut tell: impl FnMut(&R, Duration) -> Result<(), Stop>,
) -> Result<Vec<R>, Stop> {
    let jobs = jobs.map_or_else(|| thread::available_parallelism().map_or(1, NonZero::get), usize::from);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut waiting: Vec<Option<(R, Duration)>> = items.iter().map(|_| None).collect();
    let mut done = Vec::with_capacity(items.len());
    thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let start = Instant::now();
                    let result = work(item);
                    if sender.send((index, result, start.elapsed())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (index, result, took) in receiver {
            waiting[index] = Some((result, took));
            while let Some((result, took)) = waiting.get_mut(done.len()).and_then(Option::take) {
                if let Err(stop) = tell(&result, took) {
                    // The workers run out of items; nobody listens any more.
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(stop);
                }
                done.push(result);
            }
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_in_order_and_a_stop_ends_it() {
        let items: Vec<u64> = (0..200).collect();
        for jobs in [None, Some(1), Some(7), Some(1_000)] {
            let mut told = Vec::new();
            let slow_first = |&item: &u64| {
                thread::sleep(Duration::from_micros(if item % 7 == 0 { 300 } else { 0 }));
                item * 2
            };
            let done = in_order(&items, jobs, slow_first, |&result, _| {
                told.push(result);
                Ok(())
            });
            let expected: Vec<u64> = items.iter().map(|item| item * 2).collect();
            assert_eq!((done.ok(), told), (Some(expected.clone()), expected));

            let mut told = Vec::new();
            let stopped = in_order(&items, jobs, slow_first, |&result, _| {
                told.push(result);
                if result == 40 { Err(Stop::usage("enough")) } else { Ok(()) }
            });
            assert!(stopped.is_err());
            assert_eq!(told.len(), 21);
        }
        assert!(in_order(&[], None, |&(): &()| (), |(), _| Ok(())).is_ok_and(|done| done.is_empty()));
    }
}
