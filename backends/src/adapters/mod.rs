//! Memory that other libraries know how to read.

#[cfg(feature = "memflow")]
mod memflow;
#[cfg(feature = "vm-memory")]
mod vm_memory;

#[cfg(feature = "memflow")]
pub use self::memflow::Memflow;
#[cfg(feature = "vm-memory")]
pub use self::vm_memory::VmMemory;
