//! The capture that is built in: a virtual machine with three devices held by VFIO.

use iopt::vtd::{Cap, Ecap, Rtaddr};

pub static IMAGE: &[u8] = include_bytes!("../sample/vfio-48.lime.xz");

pub const ROOT: Rtaddr = Rtaddr(0x0098_c000);
pub const CAP: Cap = Cap(0x00d2_008c_222f_0606);
pub const ECAP: Ecap = Ecap(0xf42);
pub const HOST_ADDRESS_WIDTH: u8 = 48;

pub const NOTE: &str = "No IMAGE given: this is the built-in sample, a capture of a virtual machine with VFIO devices.";
