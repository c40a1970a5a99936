//! How much one queue of a worker holds at once, and in what portions its pump asks for it.

/// How many jobs of one queue a worker may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Jobs that run at once.
    pub slots: usize,
    /// Claims beyond the slots, waiting in the buffer. 0: strict.
    pub prefetch: usize,
}

impl Capacity {
    /// Overlapping statements of a prefetching queue.
    const LANES: usize = 2;

    pub(crate) const fn total(self) -> usize {
        self.slots + self.prefetch
    }

    pub(crate) const fn lanes(self) -> usize {
        if self.prefetch == 0 { 1 } else { Self::LANES }
    }

    /// Most that one statement claims: each lane is to have its share.
    pub(crate) const fn share(self) -> usize {
        self.total().div_ceil(self.lanes())
    }

    /// A second statement is sent beside one under way only for so many acks: it costs as much as the first, and what
    /// is less goes with that one's successor.
    pub(crate) const fn batch(self) -> usize {
        match self.prefetch {
            0 => self.slots,
            _ => self.share().div_ceil(2),
        }
    }
}
