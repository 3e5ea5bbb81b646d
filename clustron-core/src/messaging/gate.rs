//! Who uses a connection, so that one that nobody uses can be closed without a race.
//!
//! Like the last one who leaves a room: he looks whether anybody is still inside, and keeps the
//! door shut while he looks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// See the module's documentation.
pub(super) struct Gate(Mutex<Inside>);

struct Inside {
    users: usize,
    used_at: Instant,
    /// It ends for want of use, at either side's wish. Nobody comes in any more.
    retired: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Mutex::new(Inside { users: 0, used_at: Instant::now(), retired: false }))
    }
}

impl Gate {
    /// One more uses it, and will [leave](Self::leave); false if it is just being closed.
    pub(super) fn enter(&self) -> bool {
        let mut inside = self.lock();
        inside.users += usize::from(!inside.retired);
        !inside.retired
    }

    pub(super) fn leave(&self) {
        let mut inside = self.lock();
        inside.users -= 1;
        inside.used_at = Instant::now();
    }

    /// Nobody comes in any more.
    pub(super) fn retire(&self) {
        self.lock().retired = true;
    }

    /// Whether somebody uses it now.
    pub(super) fn is_used(&self) -> bool {
        self.lock().users > 0
    }

    pub(super) fn is_retired(&self) -> bool {
        self.lock().retired
    }

    /// Resolves when nobody has used the connection for that long; then nobody can any more. Who
    /// waits for a reply uses it. Never, without a time.
    pub(super) async fn unused(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        loop {
            let next = {
                let mut inside = self.lock();
                let due = inside.used_at + idle;
                let now = Instant::now();
                match inside.users {
                    0 if due <= now => {
                        inside.retired = true;
                        return;
                    }
                    0 => due,
                    _ => now + idle,
                }
            };
            tokio::time::sleep_until(next).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
