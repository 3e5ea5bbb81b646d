//! From a list of names to stacks, and what two ends must have in common. Most of what is refused
//! is told in `tests/pipeline/scripts/refused.txt`.

use std::time::Duration;

use crate::pipeline::{
    Event, Input, Layer, LayerConfig, Out, PipelineError, Plan, Registry, agree,
};

fn plan(layers: &[LayerConfig]) -> Plan {
    Registry::default().plan(layers, 1 << 20).unwrap()
}

/// A layer as a user may write one: it shifts each letter.
#[derive(Debug)]
struct Shift {
    by: u8,
}

impl Layer for Shift {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        let shifted = |bytes: &[u8], by: u8| -> Vec<u8> {
            bytes.iter().map(|byte| byte.wrapping_add(by)).collect()
        };
        match input {
            Input::Down(mut packet) => {
                packet.replace(shifted(&packet.to_bytes(), self.by));
                out.down(packet);
            }
            Input::Up(mut packet) => {
                packet.replace(shifted(&packet.to_bytes(), self.by.wrapping_neg()));
                out.up(packet);
            }
            _ => {}
        }
    }
}

fn with_shift() -> Registry {
    let mut registry = Registry::default();
    registry
        .register("shift", |settings, _| {
            let by = settings.shared("by").size(1, 1..=255)?;
            Ok(Box::new(Shift { by: by as u8 }))
        })
        .unwrap();
    registry
}

#[test]
fn a_layer_of_a_users_own_stands_among_the_others() {
    let layers = [LayerConfig::new("shift").with("by", 2), LayerConfig::new("checksum")];
    let plan = with_shift().plan(&layers, 1 << 20).unwrap();
    let [mut a, mut b] = [true, false].map(|opener| plan.stack(1, opener).unwrap());
    let now = Duration::ZERO;
    a.send(now, "abc".into()).unwrap();
    let packet = a.next_write(now).unwrap().to_bytes();
    assert_eq!(packet[4..], *b"cde");
    b.receive(now, packet);
    assert_eq!(b.next_event(), Some(Event::Deliver("abc".into())));
    assert_eq!(plan.fingerprint().to_string(), "shift(by=2) > checksum");
}

#[test]
fn what_a_users_layer_refuses_names_it() {
    let layers = [LayerConfig::new("shift").with("by", 0)];
    let error = with_shift().plan(&layers, 1 << 20).unwrap_err();
    let said = "by of layer \"shift\" is \"0\": it must be a whole number from 1 to 255";
    assert_eq!(error.to_string(), said);
}

#[test]
fn a_name_is_taken_once_and_is_a_plain_word() {
    let mut registry = with_shift();
    for name in ["shift", "reliable", "order", "", "two words", &"x".repeat(65)] {
        let error = registry.register(name, |_, _| Ok(Box::new(Shift { by: 1 }))).unwrap_err();
        assert!(matches!(error, PipelineError::Name { .. }), "{name:?}: {error}");
    }
}

#[test]
fn more_layers_and_larger_messages_than_there_may_be_are_refused() {
    let mut registry = Registry::default();
    let names: Vec<String> = (0..17).map(|n| format!("shift-{n}")).collect();
    for name in &names {
        registry.register(name, |_, _| Ok(Box::new(Shift { by: 1 }))).unwrap();
    }
    let layers: Vec<LayerConfig> = names.iter().map(LayerConfig::new).collect();
    assert!(registry.plan(&layers[..16], 1 << 20).is_ok());
    let error = registry.plan(&layers, 1 << 20).unwrap_err();
    assert_eq!(error, PipelineError::TooMany { count: 17, max: 16 });

    let error = registry.plan(&[], (1 << 30) + 1).unwrap_err();
    assert!(matches!(error, PipelineError::MessageBytes { .. }), "{error}");
}

#[test]
fn ends_agree_where_shared_settings_and_defaults_are_the_same() {
    let given = plan(&[LayerConfig::new("flow").with("window_bytes", 1 << 20)]);
    let default = plan(&[LayerConfig::new("flow")]);
    assert_eq!(agree(given.fingerprint(), default.fingerprint()), Ok(()));

    let patient = plan(&[LayerConfig::new("reliable").with("give_up_after_ms", 60_000)]);
    let default = plan(&[LayerConfig::new("reliable")]);
    assert_eq!(agree(patient.fingerprint(), default.fingerprint()), Ok(()), "each has its own");
}

#[test]
fn ends_that_differ_are_told_both_lists() {
    let ours = plan(&[LayerConfig::new("fragment"), LayerConfig::new("checksum")]);
    let told = |layers: &[LayerConfig]| {
        agree(ours.fingerprint(), plan(layers).fingerprint()).unwrap_err().to_string()
    };
    assert_eq!(
        told(&[]),
        "the layers are not the same: we have 2, they 0; ours are fragment(at_once=1) > checksum, \
         theirs no layers: give both ends the same layers and shared settings"
    );
    let reversed = told(&[LayerConfig::new("checksum"), LayerConfig::new("fragment")]);
    assert!(reversed.contains("layer 1 is \"fragment\" here, \"checksum\" there"), "{reversed}");
    let wide = LayerConfig::new("fragment").with("at_once", 8);
    let wide = told(&[wide, LayerConfig::new("checksum")]);
    assert!(wide.contains("at_once of \"fragment\" is 1 here, 8 there"), "{wide}");
}

#[test]
fn a_fingerprint_travels_in_a_handshake() {
    let ours = plan(&[LayerConfig::new("flow"), LayerConfig::new("reliable")]);
    let bytes = crate::codec::encode(ours.fingerprint()).unwrap();
    assert_eq!(
        &crate::codec::decode::<crate::pipeline::Fingerprint>(&bytes).unwrap(),
        ours.fingerprint()
    );
}
