//! Text that people or other programs write.

use super::Decoder;
use crate::{KeyRing, TraceContext, discovery};

pub(super) const DECODERS: [Decoder; 4] = [
    Decoder::new("a file of seeds", |bytes| {
        if let Ok(addresses) = discovery::seeds_of_file(bytes) {
            assert!(addresses.len() <= crate::SEEDS_MAX, "too many were taken");
        }
    }),
    Decoder::new("a key ring", |bytes| {
        let _ = KeyRing::parse(&String::from_utf8_lossy(bytes)).map(|ring| format!("{ring:?}"));
    }),
    Decoder::new("a traceparent", |bytes| {
        if let Ok(trace) = String::from_utf8_lossy(bytes).parse::<TraceContext>() {
            assert_eq!(trace.to_string().parse::<TraceContext>().ok(), Some(trace));
        }
    }),
    Decoder::new("names to look up", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = crate::ClusterName::new(&*text);
        #[cfg(feature = "dns")]
        let _ = (crate::DnsSeeds::new(&text).is_ok(), crate::SrvSeeds::new(&text).is_ok());
    }),
];
