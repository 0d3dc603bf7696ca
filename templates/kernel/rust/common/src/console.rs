// SPDX-License-Identifier: MIT
//! println!, to where the machine puts bytes.
use crate::machine;
use core::fmt::{Result, Write};

pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> Result {
        text.bytes().for_each(machine::put);
        Ok(())
    }
}

#[macro_export]
macro_rules! println {
    ($($word:tt)*) => {{
        let _ = core::fmt::Write::write_fmt(&mut $crate::console::Console, format_args!("{}\n", format_args!($($word)*)));
    }};
}
