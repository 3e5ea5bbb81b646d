use std::collections::BTreeMap;

use clustron_core::View;

use super::{Moment, Predicate};

/// The view is what was agreed: whoever has the same version of it has the same nodes in it, in
/// every life and after every restart.
#[derive(Debug, Default)]
pub struct SameVersionSameView {
    /// By version: the view, and who had it first.
    known: BTreeMap<u64, (View, String)>,
}

impl Predicate for SameVersionSameView {
    fn name(&self) -> &'static str {
        "same_version_same_view"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let view = &moment.status.view;
        let me = || (view.clone(), format!("{}#{}", moment.host, moment.life));
        let (known, whose) = self.known.entry(view.version()).or_insert_with(me);
        if known != view {
            return Err(format!(
                "version {} is {view:?}, at {whose} it was {known:?}",
                view.version()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moment, status, view_of_one};
    use super::*;
    use crate::cluster::Health;

    fn view(name: &str) -> View {
        view_of_one(name, "Alive", "")
    }

    #[test]
    fn two_views_of_one_version_are_caught() {
        let mut predicate = SameVersionSameView::default();
        let mut seen = |host, view| {
            let mut status = status(1);
            status.view = view;
            predicate.check(&Moment { host, ..moment(&status, &Health::default()) })
        };
        assert_eq!(seen("a", view("a")), Ok(()));
        assert_eq!(seen("b", view("a")), Ok(()));
        assert_eq!(seen("b", View::default()), Ok(()));
        assert!(seen("c", view("b")).unwrap_err().contains("at a#1"));
    }
}
