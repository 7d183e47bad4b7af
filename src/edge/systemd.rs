//! What systemd is told (`sd_notify(3)`), where it started the server and asks for it: `Type=notify`, `WatchdogSec=`.

#[cfg(unix)]
use sd_notify::NotifyState;

/// Says that requests are taken, and from then on that the process lives, as often as systemd's watchdog wants to hear it.
/// To be called within the runtime, whose standing still is what the watchdog finds out.
#[cfg(unix)]
pub fn ready() {
    tell(&NotifyState::Ready);
    if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) {
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(limit / 2);
            loop {
                beat.tick().await;
                tell(&NotifyState::Watchdog);
            }
        });
    }
}

/// Says that the server ends.
#[cfg(unix)]
pub fn stopping() {
    tell(&NotifyState::Stopping);
}

#[cfg(unix)]
fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "systemd cannot be told how the server is: NOTIFY_SOCKET");
    }
}

/// There is no systemd here.
#[cfg(not(unix))]
pub fn ready() {}

/// There is no systemd here.
#[cfg(not(unix))]
pub fn stopping() {}
