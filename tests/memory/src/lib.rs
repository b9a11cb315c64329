//! An allocator that counts: calls, bytes held and their peak, for each thread and overall.
#![expect(unsafe_code, reason = "what an allocator is made of")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// What all threads hold together.
static ALL_HELD: AtomicIsize = AtomicIsize::new(0);

fn grew(by: isize) {
    ALL_HELD.fetch_add(by, Ordering::Relaxed);
    HELD.set(HELD.get() + by);
    PEAK.set(PEAK.get().max(HELD.get()));
}

fn size(layout: Layout) -> isize {
    layout.size().try_into().unwrap_or(isize::MAX)
}

// SAFETY: all is left to the system's allocator; the counters are const and never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        grew(size(layout));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        grew(size(layout));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        grew(isize::try_from(new_size).unwrap_or(isize::MAX) - size(layout));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(old, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        grew(-size(layout));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How often this thread has allocated or grown a block so far.
pub fn calls() -> usize {
    CALLS.get()
}

/// How often this thread has allocated or grown a block while the closure ran.
pub fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = calls();
    let value = work();
    (calls() - before, value)
}

/// How many bytes more than before this thread held at most while the closure ran.
pub fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.get();
    PEAK.set(before);
    let value = work();
    (usize::try_from(PEAK.get() - before).unwrap_or(0), value)
}

/// How many bytes more than before this thread holds after the closure.
pub fn held<T>(work: impl FnOnce() -> T) -> (isize, T) {
    let before = HELD.get();
    let value = work();
    (HELD.get() - before, value)
}

/// How many bytes all threads hold at this moment.
pub fn held_by_all() -> isize {
    ALL_HELD.load(Ordering::Relaxed)
}

/// Takes and forgets what is written, without a buffer of its own.
#[derive(Debug, Default)]
pub struct Nowhere;

impl std::io::Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
