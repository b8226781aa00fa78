//! The same work on many items, on every core, in order.

use std::thread;

/// Items that are not worth a thread of their own.
const FEWEST: usize = 256;

/// What `work` makes of each item.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut chunks = items.chunks(items.len().div_ceil(cores).max(FEWEST));
    let Some(first) = chunks.next() else { return Vec::new() };
    let work = &work;
    let run = move |chunk: &[T]| -> Vec<R> { chunk.iter().map(work).collect() };
    thread::scope(|scope| {
        let others: Vec<_> = chunks.map(|chunk| (chunk, scope.spawn(move || run(chunk)))).collect();
        let mut all = run(first);
        for (chunk, other) in others {
            // A thread that did not come to its end is made up for here.
            all.extend(other.join().unwrap_or_else(|_| run(chunk)));
        }
        all
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_order_stays() {
        for count in [0, 1, 255, 256, 257, 5000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(super::map(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
