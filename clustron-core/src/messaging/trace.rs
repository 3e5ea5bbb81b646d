//! Which request of whom a piece of work belongs to, across nodes.
//!
//! A trace is like the number of a parcel: each office that handles it notes the number, so that
//! one can follow it through all of them later. The ids and their text form are those of the W3C
//! recommendation [Trace Context](https://www.w3.org/TR/trace-context/), which OpenTelemetry and
//! most HTTP frameworks speak.
//!
//! Whoever sends within [`TraceContext::scope`] has the context travel in the message's header;
//! the handler runs in the same trace, with a span id of its own. Without a scope nothing travels
//! and a header is as small as ever. Commands that are proposed into the log carry no context: they
//! are applied by all nodes, some much later, from a snapshot or after a restart, and must mean the
//! same everywhere.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::chance::Chance;
use crate::identity::NodeId;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The length of a `traceparent` of version 00.
const TEXT_BYTES: usize = 55;

/// The place of a piece of work in a trace: which trace, which span of it, and flags (bit 0: the
/// trace is recorded).
///
/// ```
/// use clustron_core::TraceContext;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // As an HTTP header `traceparent` brought it.
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse().expect("a valid header");
/// context.scope(async {
///     // Whatever is sent from here on carries the context.
///     let current = TraceContext::current().expect("within a scope");
///     assert_eq!(current.to_string(), text);
/// }).await;
/// assert_eq!(TraceContext::current(), None);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// A context of these ids. `None` where one of them is all zeros, which stands for "no id".
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let context = Self { trace_id, span_id, flags };
        context.is_valid().then_some(context)
    }

    /// The context within which the present task works; `None` outside of any
    /// [scope](Self::scope).
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs a future within this context. A task that it spawns is outside again, unless it is
    /// given a scope of its own.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The trace, 16 bytes.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span within the trace, 8 bytes.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags of the recommendation; bit 0 says that the trace is recorded.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The beginning of a new, recorded trace.
    pub(crate) fn begin(chance: &Chance) -> Self {
        let trace = (u128::from(chance.seed()) << 64) | u128::from(chance.seed().max(1));
        Self { trace_id: trace.to_be_bytes(), span_id: span_id(chance), flags: 1 }
    }

    /// Another span of the same trace.
    pub(super) fn child(self, chance: &Chance) -> Self {
        Self { span_id: span_id(chance), ..self }
    }

    /// Whether both ids are there; a peer may have sent anything.
    pub(super) fn is_valid(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }
}

fn span_id(chance: &Chance) -> [u8; 8] {
    chance.seed().max(1).to_be_bytes()
}

/// Runs a handler within its trace, in a `tracing` span with the fields `trace_id`, `span_id`,
/// `node` and `kind`; or as it is, where there is no trace.
pub(super) async fn within<F: Future>(
    trace: Option<TraceContext>,
    node: NodeId,
    kind: &str,
    future: F,
) -> F::Output {
    let Some(context) = trace else { return future.await };
    let (trace_id, span_id) = (Hex(&context.trace_id), Hex(&context.span_id));
    let span = tracing::info_span!("handler", %trace_id, %span_id, %node, kind);
    context.scope(future).instrument(span).await
}

/// Shows bytes as lower-case hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The header `traceparent`, version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(&self.trace_id), Hex(&self.span_id), self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

/// A text is no `traceparent`. The request is still good: the recommendation says to go on without
/// its trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no traceparent: {reason}; one looks like \
     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)]
pub struct InvalidTraceparent {
    /// The text, or its beginning.
    text: String,
    reason: &'static str,
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    /// Parses the header `traceparent`. Of a later version, which may add fields at the end, the
    /// known ones are taken.
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        parse(text.as_bytes()).map_err(|reason| InvalidTraceparent {
            text: text.chars().take(TEXT_BYTES).collect(),
            reason,
        })
    }
}

fn parse(text: &[u8]) -> Result<TraceContext, &'static str> {
    let Some((known, more)) = text.split_at_checked(TEXT_BYTES) else {
        return Err("it is shorter than 55 characters");
    };
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    if !dashes {
        return Err("its four fields are not apart by dashes");
    }
    match digits::<1>(&known[..2])? {
        [0xff] => return Err("there is no version ff"),
        [0] if !more.is_empty() => return Err("version 00 has nothing after the flags"),
        _ if !more.is_empty() && more[0] != b'-' => return Err("no dash follows the flags"),
        _ => {}
    }
    let (trace_id, span_id) = (digits(&known[3..35])?, digits(&known[36..52])?);
    let [flags] = digits(&known[53..])?;
    TraceContext::new(trace_id, span_id, flags).ok_or("an id is all zeros")
}

/// So many bytes as two lower-case digits each.
fn digits<const N: usize>(text: &[u8]) -> Result<[u8; N], &'static str> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err("a field has other characters than 0-9 and a-f"),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_recommendation_is_read_and_written() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id()[..2], [0x4b, 0xf9]);
        assert_eq!(context.span_id()[6..], [0x02, 0xb7]);
        assert_eq!(context.flags(), 1);
    }

    #[test]
    fn what_is_no_traceparent_is_refused_with_the_reason() {
        let later = EXAMPLE.replacen("00", "cc", 1);
        for (text, reason) in [
            (String::new(), "shorter"),
            (EXAMPLE[1..].to_owned(), "shorter"),
            (EXAMPLE.replace('-', "_"), "dashes"),
            (EXAMPLE.to_uppercase(), "other characters"),
            (EXAMPLE.replacen("00", "ff", 1), "version ff"),
            (format!("{EXAMPLE}-00"), "nothing after"),
            (format!("{later}00"), "no dash"),
            (EXAMPLE.replace("00f067aa0ba902b7", "0000000000000000"), "all zeros"),
        ] {
            let error = text.parse::<TraceContext>().unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let later: TraceContext = format!("{later}-more").parse().unwrap();
        assert_eq!(later.to_string(), EXAMPLE);
    }

    #[tokio::test]
    async fn a_scope_holds_for_its_future_and_not_for_what_that_spawns() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        let seen = context.scope(async {
            let spawned = tokio::spawn(async { TraceContext::current() });
            (TraceContext::current(), spawned.await.unwrap())
        });
        assert_eq!(seen.await, (Some(context), None));
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let chance = Chance::seeded(1);
        let context = TraceContext::begin(&chance);
        let child = context.child(&chance);
        assert!(context.is_valid() && child.is_valid());
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), context.span_id());
    }

    proptest! {
        #[test]
        fn any_context_comes_back_from_its_text(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) {
            if let Some(context) = TraceContext::new(trace_id, span_id, flags) {
                prop_assert_eq!(context.to_string().parse(), Ok(context));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = text.parse::<TraceContext>();
        }
    }
}
