//! Tells the processor what will be read soon. The store is far larger than any cache: an announce that waits for
//! each of its cache lines in turn waits for half of its time, while those of a whole batch can be fetched at once.

/// Bytes of a cache line.
pub(crate) const LINE_BYTES: usize = 64;

/// All of a value. A hint: whatever the address, nothing is read and nothing can go wrong.
pub fn value<T>(at: *const T) {
    let first = at.cast::<u8>();
    // It may begin anywhere in a line.
    let lead = first.addr() % LINE_BYTES;
    for line in 0..(lead + size_of::<T>()).div_ceil(LINE_BYTES) {
        prefetch(first.wrapping_add(line * LINE_BYTES));
    }
}

/// `count` lines from `first` on; a hint, too.
pub(crate) fn lines<T>(first: *const T, count: usize) {
    for line in 0..count {
        prefetch(first.cast::<u8>().wrapping_add(line * LINE_BYTES));
    }
}

#[cfg(target_arch = "x86_64")]
fn prefetch(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch accesses no memory as far as the program can tell; it may name any address (Intel SDM, PREFETCHh).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(target_arch = "aarch64")]
fn prefetch(address: *const u8) {
    // SAFETY: PRFM is a hint that accesses no memory as far as the program can tell (Arm ARM, C6.2).
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags))
    };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch(_address: *const u8) {}
