//! Rules about keys that belong together.

/// Values that are each right, and do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The path of the key that is complained about.
    pub(crate) key: &'static str,
    /// What is wrong with its value, and the remedy.
    pub(crate) text: String,
    /// The paths of the other keys that the rule is about.
    pub(crate) others: Vec<&'static str>,
}
