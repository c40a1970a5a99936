//! How many jobs of one queue a worker holds at once, and how many of them one statement asks for.

/// How many jobs of one queue a worker may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Most jobs that run at once.
    pub slots: usize,
    /// Jobs claimed beyond the slots, waiting in the buffer. 0: strict.
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

    /// Most jobs that one statement claims, so that each lane gets its share.
    pub(crate) const fn share(self) -> usize {
        self.total().div_ceil(self.lanes())
    }

    /// Acks that must have gathered before a second statement is sent beside a running one. It costs as much as the
    /// first, so fewer acks wait for the running one's successor.
    pub(crate) const fn batch(self) -> usize {
        match self.prefetch {
            0 => self.slots,
            _ => self.share().div_ceil(2),
        }
    }
}
