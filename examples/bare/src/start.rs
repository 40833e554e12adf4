//! What a program needs that has no library under it: an entry, an exit, a panic handler, and the functions
//! that the compiler calls by itself to move and compare bytes.

use crate::checks;
use core::arch::{asm, global_asm};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("the entry and the exit are those of Linux on x86-64");

// The kernel enters with an aligned stack and no return address; a function expects to be called.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {run}", "ud2", run = sym run);

extern "C" fn run() -> ! {
    exit(checks::first_failure())
}

fn exit(status: u8) -> ! {
    // SAFETY: exit_group (231) takes the status and does not return; it touches no memory of this program.
    unsafe { asm!("syscall", in("eax") 231, in("edi") u32::from(status), options(noreturn, nostack, nomem)) }
}

unsafe extern "C" {
    /// Defined nowhere: a program that can reach it does not link.
    safe fn iopt_would_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    iopt_would_panic()
}

/// # Safety
/// As C's: `to` is valid for writes of `count` bytes, `from` for reads, and they do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: it reads and writes what the caller says is valid; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _,
            options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// As C's: `to` is valid for writes of `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: it writes what the caller says is valid; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, inout("rcx") count => _, in("eax") byte,
            options(nostack, preserves_flags));
    }
    to
}

/// Says only whether they differ, as C's does.
///
/// # Safety
/// As C's: `one` and `other` are valid for reads of `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    let differs: u8;
    // SAFETY: it reads what the caller says is valid; the direction flag is clear by the ABI. The comparison of the
    // counter with itself makes nothing differ if there are no bytes.
    unsafe {
        asm!("cmp rcx, rcx", "repe cmpsb", "setne {differs}", differs = out(reg_byte) differs,
            inout("rdi") one => _, inout("rsi") other => _, inout("rcx") count => _,
            options(nostack, readonly));
    }
    i32::from(differs)
}

/// # Safety
/// As C's: `to` is valid for writes of `count` bytes, `from` for reads; they may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    let ahead = to.addr().wrapping_sub(from.addr());
    if ahead >= count {
        // SAFETY: it reads and writes what the caller says is valid. No byte is written before it is read: `to` is
        // below `from`, or behind all that is read.
        unsafe {
            asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _,
                options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: the same, from the last byte down, since `to` lies inside of what is read; there is at least one
        // byte. The direction flag is clear again at the end, as the ABI wants it.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rdi") to.wrapping_add(count - 1) => _,
                inout("rsi") from.wrapping_add(count - 1) => _, inout("rcx") count => _, options(nostack));
        }
    }
    to
}
