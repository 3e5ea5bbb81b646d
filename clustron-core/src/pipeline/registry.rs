//! From a configured list of names to stacks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::bug::Defect;
use super::nearest::nearest;
use super::settings::Settings;
use super::{
    Context, Fingerprint, Layer, PipelineError, Stack, checksum, compress, fault, flow, fragment,
    order, reliable, rules,
};

/// A name may have so many bytes.
const NAME_BYTES_MAX: usize = 64;

/// The largest message that may be allowed: sizes are told in 32 bits, with headers.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// One layer as it is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerConfig {
    /// The name under which it is registered.
    pub name: String,
    /// What differs from its defaults.
    pub settings: BTreeMap<String, String>,
}

impl LayerConfig {
    /// A layer with its defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), settings: BTreeMap::new() }
    }

    /// Sets one of its settings.
    #[must_use]
    pub fn with(mut self, setting: impl Into<String>, value: impl ToString) -> Self {
        self.settings.insert(setting.into(), value.to_string());
        self
    }
}

type Constructor =
    Arc<dyn Fn(&mut Settings<'_>, &Context) -> Result<Box<dyn Layer>, PipelineError> + Send + Sync>;

/// The layers that there are, by name. Starts with the built-in ones: `compress`, `flow`,
/// `fragment`, `reliable`, `checksum` and `fault`.
#[derive(Clone)]
pub struct Registry {
    constructors: BTreeMap<String, Constructor>,
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self { constructors: BTreeMap::new() };
        registry.insert(checksum::NAME, checksum::make);
        registry.insert(compress::NAME, compress::make);
        registry.insert(fault::NAME, fault::make);
        registry.insert(flow::NAME, flow::make);
        registry.insert(fragment::NAME, fragment::make);
        registry.insert(reliable::NAME, reliable::make);
        registry
    }
}

impl Registry {
    /// Adds a layer of your own. `make` is called for each end of each conversation; it reads the
    /// settings that the layer has, and must read the same ones each time.
    ///
    /// # Errors
    /// The name is taken, or is not made of at most 64 letters, digits, `-`, `_` and `.`.
    pub fn register(
        &mut self,
        name: &str,
        make: impl Fn(&mut Settings<'_>, &Context) -> Result<Box<dyn Layer>, PipelineError>
        + Send
        + Sync
        + 'static,
    ) -> Result<(), PipelineError> {
        let wrong = |why| Err(PipelineError::Name { name: name.to_owned(), why });
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return wrong("it must have 1 to 64 letters, digits, '-', '_' or '.'");
        }
        if name == order::NAME || self.constructors.contains_key(name) {
            return wrong("the name is taken, choose another");
        }
        self.insert(name, make);
        Ok(())
    }

    /// Checks a list of layers, the first nearest to the application, for messages up to
    /// `message_bytes_max` bytes.
    ///
    /// # Errors
    /// See [`PipelineError`]. Each names the layer, the setting and what is allowed.
    pub fn plan(
        &self,
        layers: &[LayerConfig],
        message_bytes_max: usize,
    ) -> Result<Plan, PipelineError> {
        if message_bytes_max > MESSAGE_BYTES_MAX {
            let (bytes, max) = (message_bytes_max, MESSAGE_BYTES_MAX);
            return Err(PipelineError::MessageBytes { bytes, max });
        }
        let mut made = Vec::with_capacity(layers.len().min(rules::LAYERS_MAX));
        for layer in layers {
            made.push((layer.clone(), self.find(&layer.name)?));
        }
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        rules::check(&names)?;
        let mut plan = Plan {
            layers: made,
            message_bytes_max,
            fingerprint: Fingerprint::default(),
            defect: Defect::default(),
        };
        // Finds at start whatever is wrong, and what the other end has to know.
        let (_, fingerprint) = plan.build(0, true)?;
        plan.fingerprint = fingerprint;
        Ok(plan)
    }

    fn find(&self, name: &str) -> Result<Constructor, PipelineError> {
        if name == order::NAME {
            return Err(PipelineError::NotALayer { name: name.into(), why: order::WHY });
        }
        self.constructors.get(name).cloned().ok_or_else(|| PipelineError::UnknownLayer {
            name: name.to_owned(),
            known: self.constructors.keys().cloned().collect(),
            nearest: nearest(name, self.constructors.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    fn insert(
        &mut self,
        name: &str,
        make: impl Fn(&mut Settings<'_>, &Context) -> Result<Box<dyn Layer>, PipelineError>
        + Send
        + Sync
        + 'static,
    ) {
        self.constructors.insert(name.to_owned(), Arc::new(make));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.constructors.keys()).finish()
    }
}

/// A list of layers that has been checked: makes the stack of each conversation. By default it has
/// none.
#[derive(Clone, Default)]
pub struct Plan {
    layers: Vec<(LayerConfig, Constructor)>,
    message_bytes_max: usize,
    fingerprint: Fingerprint,
    defect: Defect,
}

impl Plan {
    /// The stack of one end of a new conversation. `conversation` is its number, which the opener
    /// chooses and the handshake tells: another one than those before between the two nodes.
    ///
    /// # Errors
    /// Only a registered layer whose constructor does not always do the same gives any.
    pub fn stack(&self, conversation: u32, opener: bool) -> Result<Stack, PipelineError> {
        self.build(conversation, opener).map(|(stack, _)| stack)
    }

    /// What the other end must have in common.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether there are no layers: then a driver may do without stacks.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether a layer of this name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.layers.iter().any(|(layer, _)| layer.name == name)
    }

    /// Switches a defect on.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn with_bug(mut self, bug: Option<super::LayerBug>) -> Self {
        self.defect = Defect { bug };
        self
    }

    fn build(
        &self,
        conversation: u32,
        opener: bool,
    ) -> Result<(Stack, Fingerprint), PipelineError> {
        let mut stack: Vec<(String, Box<dyn Layer>)> = Vec::with_capacity(self.layers.len());
        let mut prints = Vec::with_capacity(self.layers.len());
        for (config, make) in &self.layers {
            let context = Context {
                conversation,
                opener,
                message_bytes_max: self.message_bytes_max,
                above: stack.iter().map(|(name, _)| name.clone()).collect(),
                defect: self.defect,
            };
            let mut settings = Settings::new(&config.name, &config.settings);
            let layer = make(&mut settings, &context)?;
            prints.push((config.name.clone(), settings.finish()?));
            stack.push((config.name.clone(), layer));
        }
        Ok((Stack::new(stack, self.message_bytes_max), Fingerprint::new(prints)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|(config, _)| config)).finish()
    }
}
