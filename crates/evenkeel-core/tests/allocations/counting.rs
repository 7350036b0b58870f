//! An allocator that counts. There can be one for each program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The allocator of the system, counting how often a thread asks it for memory.
struct Counting;

thread_local! {
    // Tests run side by side: each counts what its own thread does.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// What all threads have taken.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

fn note() {
    TAKEN.with(|taken| taken.set(taken.get() + 1));
    TOTAL.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged. Counting touches a cell that needs neither memory from
// the heap nor a destructor, so that it cannot come back here, nor at the end of a thread find the cell gone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: what the caller promised us, we promise the system.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: what the caller promised us, we promise the system.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: what the caller promised us, we promise the system; `pointer` came from there.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what the caller promised us, we promise the system; `pointer` came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `run` takes memory, or more of it, in the thread that calls this.
pub(crate) fn allocations<R>(run: impl FnOnce() -> R) -> usize {
    let before = TAKEN.get();
    let result = run();
    let taken = TAKEN.get() - before;
    drop(result);
    taken
}

/// How often all other threads take memory while `run` runs in this one.
pub(crate) fn allocations_elsewhere(run: impl FnOnce()) -> usize {
    let elsewhere = || TOTAL.load(Ordering::Relaxed) - TAKEN.get();
    let before = elsewhere();
    run();
    elsewhere() - before
}
