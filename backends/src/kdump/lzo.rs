//! LZO1X, as liblzo2's `lzo1x_1` writes it and the kernel's `Documentation/staging/lzo.rst` describes it. Written
//! here because the crates for it are under the GPL, left alone for years, or too new to be judged.

/// Decompresses `input` into `output`, and says how many bytes that gave; `None` if the stream is damaged, does not
/// end with the input, or holds more than there is room for.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut stream = Stream { input, output, written: 0 };
    let mut before = Before::Match;
    // The first byte alone may announce literals in a way of its own.
    if let Some(&first @ 18..) = stream.input.first() {
        stream.byte()?;
        let literals = usize::from(first).checked_sub(17)?;
        stream.literals(literals)?;
        before = if literals < 4 { Before::Short } else { Before::Run };
    }
    loop {
        let code = usize::from(stream.byte()?);
        let (distance, length, literals) = match (code, before) {
            (0..16, Before::Match) => {
                let length = stream.length(code, 15)?.checked_add(3)?;
                stream.literals(length)?;
                before = Before::Run;
                continue;
            }
            (0..16, Before::Short) => (stream.near(code >> 2, 2, 1)?, 2, code),
            (0..16, Before::Run) => (stream.near(code >> 2, 2, 0x801)?, 3, code),
            (16..32, _) => {
                let length = stream.length(code & 7, 7)?.checked_add(2)?;
                let low = stream.word()?;
                let distance = ((code & 8) << 11) | (low >> 2);
                if distance == 0 {
                    // The end is a match of three bytes; nothing may follow.
                    return (length == 3 && stream.input.is_empty()).then_some(stream.written);
                }
                (distance.checked_add(0x4000)?, length, low)
            }
            (32..64, _) => {
                let length = stream.length(code & 31, 31)?.checked_add(2)?;
                let low = stream.word()?;
                ((low >> 2).checked_add(1)?, length, low)
            }
            _ => (stream.near((code >> 2) & 7, 3, 1)?, (code >> 5).checked_add(1)?, code),
        };
        stream.repeat(distance, length)?;
        let literals = literals & 3;
        stream.literals(literals)?;
        before = if literals == 0 { Before::Match } else { Before::Short };
    }
}

/// What the last code was: the meaning of the codes below 16 depends on it.
#[derive(Clone, Copy)]
enum Before {
    /// A match without literals behind it, or the start.
    Match,
    /// A match with one to three literals behind it.
    Short,
    /// Literals alone, four or more.
    Run,
}

struct Stream<'a> {
    /// What is left.
    input: &'a [u8],
    output: &'a mut [u8],
    written: usize,
}

impl Stream<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.input.split_first()?;
        self.input = rest;
        Some(byte)
    }

    /// Sixteen bits, little-endian.
    fn word(&mut self) -> Option<usize> {
        let (&bytes, rest) = self.input.split_first_chunk()?;
        self.input = rest;
        Some(usize::from(u16::from_le_bytes(bytes)))
    }

    /// A length: `short`, or if that is 0, `base` and what the next bytes say.
    fn length(&mut self, short: usize, base: usize) -> Option<usize> {
        if short != 0 {
            return Some(short);
        }
        let mut length = base;
        loop {
            match self.byte()? {
                0 => length = length.checked_add(255)?,
                last => return length.checked_add(usize::from(last)),
            }
        }
    }

    /// A distance whose upper bits are the next byte.
    fn near(&mut self, low: usize, shift: u32, base: usize) -> Option<usize> {
        usize::from(self.byte()?).checked_shl(shift)?.checked_add(low)?.checked_add(base)
    }

    fn literals(&mut self, length: usize) -> Option<()> {
        let (literals, rest) = self.input.split_at_checked(length)?;
        let end = self.written.checked_add(length)?;
        self.output.get_mut(self.written..end)?.copy_from_slice(literals);
        (self.input, self.written) = (rest, end);
        Some(())
    }

    /// Repeats what was written `distance` bytes ago. It may reach into what it writes itself.
    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        let from = self.written.checked_sub(distance)?;
        let end = self.written.checked_add(length)?;
        let seen = self.output.get_mut(from..end)?;
        let mut done = distance;
        while done < seen.len() {
            // What is there from `from` on doubles with each round.
            let piece = done.min(seen.len().checked_sub(done)?);
            let (there, to) = seen.split_at_mut_checked(done)?;
            to.get_mut(..piece)?.copy_from_slice(there.get(..piece)?);
            done = done.checked_add(piece)?;
        }
        self.written = end;
        Some(())
    }
}
