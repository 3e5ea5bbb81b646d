//! What can be wrong with the configuration of a pipeline.

/// A list of layers that cannot be used. Found at start, before anything has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// No layer has this name.
    #[error(
        "no layer is called {name:?}{}; known are {}: correct it, or register it",
        meant(.nearest), .known.join(", ")
    )]
    UnknownLayer {
        /// What was named.
        name: String,
        /// All that could have been.
        known: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// It is something else than a layer.
    #[error("{name:?} cannot be a layer: {why}")]
    NotALayer {
        /// What was named.
        name: String,
        /// What it is, and what to use.
        why: &'static str,
    },
    /// A layer stands in the list twice.
    #[error("layer {name:?} is named twice: leave one of them out")]
    Twice {
        /// The layer.
        name: String,
    },
    /// There are more layers than a stack may have.
    #[error("{count} layers are named, at most {max} are allowed: leave some out")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Messages are to be larger than layers can say.
    #[error("messages may have {bytes} bytes, layers can carry {max}: allow smaller ones")]
    MessageBytes {
        /// The largest message.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Two layers do not work in this order.
    #[error("layer {below:?} stands before {above:?}, but must stand after it: {why}")]
    Order {
        /// The one that belongs nearer to the application.
        above: String,
        /// The one that belongs nearer to the wire.
        below: String,
        /// What goes wrong otherwise.
        why: &'static str,
    },
    /// A layer has no such setting.
    #[error(
        "layer {layer:?} has no setting {setting:?} (set to {value:?}){}; it has {}",
        meant(.nearest), or_none(.known)
    )]
    UnknownSetting {
        /// The layer.
        layer: String,
        /// What was set.
        setting: String,
        /// To what.
        value: String,
        /// All settings of the layer.
        known: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting} of layer {layer:?} is {value:?}: {allowed}")]
    Value {
        /// The layer.
        layer: String,
        /// The setting.
        setting: String,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A layer cannot be registered under this name.
    #[error("a layer cannot be called {name:?}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!(", {nearest:?} may be meant"))
}

fn or_none(known: &[String]) -> String {
    if known.is_empty() { "none".into() } else { known.join(", ") }
}
