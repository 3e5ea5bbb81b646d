use super::*;

#[test]
fn a_node_can_be_started_from_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Cluster::builder("orders").start());
}
