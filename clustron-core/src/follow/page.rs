//! What has changed in the agreed state since somebody last heard of it, cut into pages of bounded
//! size, and the copy that is put together from them.
//!
//! Like a subscriber of a register with loose leaves: who says up to which change the own copy is
//! complete gets the leaves that were replaced since, oldest change first, and the list of those to
//! throw away. Until the last page the copy is a draft, for it mixes old and new and never was true
//! anywhere. A draft can only be completed by the node that began it.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::control::Agreed;
use crate::identity::{ClusterId, Epoch, NodeId};
use crate::view::{Activation, NodeRecord, View};

/// The most nodes that a copy holds, gone ones too.
const NODES_MAX: usize = 65_536;

/// Up to where a copy reaches. Zeros: there is none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The version of the view at which the copy was whole, or at which the draft was begun anew.
    pub(crate) base: u64,
    /// All records that were put in place up to this version are in the draft.
    pub(crate) since: u64,
    /// The latest epoch in the copy.
    pub(crate) epoch: Epoch,
}

/// What comes after a [`Cursor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The copy is too old to be brought up to date: throw the records away.
    pub(crate) anew: bool,
    /// The cursor's base from now on.
    pub(crate) base: u64,
    /// The version up to which the draft has all records now.
    pub(crate) upto: u64,
    /// The records that changed, oldest change first.
    pub(crate) records: Vec<NodeRecord>,
    /// Nodes that were forgotten since the base, with the version at which they were.
    pub(crate) forgotten: Vec<(u64, NodeId)>,
    /// The leaders since the cursor's epoch, oldest first.
    pub(crate) activations: Vec<Activation>,
    /// There is more than fits: ask again, the same node.
    pub(crate) more: bool,
}

impl Page {
    /// Cuts what is new after `cursor`. The records take at most `bytes_max`, and up to one change
    /// more: a change is never parted.
    pub(crate) fn cut(agreed: &Agreed, cursor: Cursor, bytes_max: usize) -> Self {
        let version = agreed.view.version();
        let anew = cursor.base < agreed.forgotten_until;
        let (base, since) = if anew { (version, 0) } else { (cursor.base, cursor.since) };
        let changed = agreed.view.changed_after(since);
        let (mut bytes, mut fit, mut upto) = (0, 0, since);
        for record in &changed {
            // What cannot be measured could not be sent either, and is not what a view holds.
            bytes += codec::encode(record).map_or(0, |encoded| encoded.len());
            if bytes > bytes_max && fit > 0 && record.changed != upto {
                break;
            }
            (fit, upto) = (fit + 1, record.changed);
        }
        let more = fit < changed.len();
        let records = changed.into_iter().take(fit).cloned().collect();
        let mut page =
            Self { anew, base, upto, records, forgotten: vec![], activations: vec![], more };
        if !more {
            page.upto = version.max(since);
            let forgotten = agreed.forgotten.iter().filter(|(at, _)| *at > base);
            page.forgotten = forgotten.copied().collect();
            let later = agreed.activations.iter().filter(|a| a.epoch > cursor.epoch);
            page.activations = later.cloned().collect();
        }
        page
    }

    /// Whether it says anything that the owner of the cursor does not know.
    pub(crate) fn is_news(&self, cursor: Cursor) -> bool {
        self.anew || self.more || self.upto > cursor.since || !self.activations.is_empty()
    }
}

/// An observer's copy of the agreed state.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    whole: Agreed,
    draft: Agreed,
    cursor: Cursor,
}

impl Copy {
    /// Puts a page in. Gives whether the copy is whole with it.
    pub(crate) fn put(&mut self, cluster: ClusterId, page: Page) -> bool {
        if page.anew {
            (self.draft.view, self.cursor.since) = (View::default(), 0);
        }
        for record in page.records {
            self.draft.view.put(record);
        }
        if self.draft.view.nodes().count() > NODES_MAX {
            // No cluster has so many: whoever tells of them is not well.
            self.drop_draft();
            return false;
        }
        (self.cursor.base, self.cursor.since) = (page.base, self.cursor.since.max(page.upto));
        if page.more {
            return false;
        }
        for (at, id) in page.forgotten {
            self.draft.view.forget(id, at);
        }
        self.draft.view.complete(self.cursor.since);
        self.draft.cluster = Some(cluster);
        for activation in page.activations {
            // Another node's word: an epoch that does not rise is no leader after the known ones.
            if activation.epoch > self.draft.epoch() {
                self.draft.activated(activation);
            }
        }
        self.cursor.base = self.cursor.since;
        self.cursor.epoch = self.draft.epoch();
        self.whole = self.draft.clone();
        true
    }

    /// Forgets a draft that is not whole, because another node will be asked.
    pub(crate) fn drop_draft(&mut self) {
        self.draft = self.whole.clone();
        let version = self.whole.view.version();
        (self.cursor.base, self.cursor.since) = (version, version);
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The copy as it was when it was last whole.
    pub(crate) fn whole(&self) -> &Agreed {
        &self.whole
    }
}

#[cfg(test)]
mod tests;
