//! Content and the writes to it that a power cut may undo.

/// Something that writes can be replayed onto.
pub(super) trait Replay: Clone + Default {
    /// One write: all of it survives a power cut, or nothing.
    type Write;

    /// Carries out a write.
    fn replay(&mut self, write: &Self::Write);
}

/// Content as it is now and as a power cut would leave it at worst.
pub(super) struct Journal<C: Replay> {
    now: C,
    durable: C,
    pending: Vec<C::Write>,
}

impl<C: Replay> Default for Journal<C> {
    fn default() -> Self {
        Self::from(C::default())
    }
}

impl<C: Replay> From<C> for Journal<C> {
    fn from(content: C) -> Self {
        Self { now: content.clone(), durable: content, pending: Vec::new() }
    }
}

impl<C: Replay> Journal<C> {
    /// The content with all writes.
    pub(super) fn now(&self) -> &C {
        &self.now
    }

    /// The content as of the last sync.
    pub(super) fn durable(&self) -> &C {
        &self.durable
    }

    /// Writes, not yet durable.
    pub(super) fn write(&mut self, write: C::Write) {
        self.now.replay(&write);
        self.pending.push(write);
    }

    /// Makes all writes durable.
    pub(super) fn sync(&mut self) {
        for write in self.pending.drain(..) {
            self.durable.replay(&write);
        }
    }

    /// Keeps of the writes since the last sync as many as `survivors` says, given their number: the
    /// first ones, or (`scattered`: a disk that breaks the contract) all but the first.
    pub(super) fn crash(&mut self, survivors: &mut dyn FnMut(usize) -> usize, scattered: bool) {
        let count = survivors(self.pending.len());
        let skip = usize::from(scattered && self.pending.len() > 1);
        let take = if scattered { self.pending.len() } else { count };
        for write in self.pending.drain(..).take(take).skip(skip) {
            self.durable.replay(&write);
        }
        self.now = self.durable.clone();
    }
}
