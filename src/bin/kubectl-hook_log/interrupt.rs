//! Interruptions: Ctrl-C and, where signals exist, TERM and HUP (the terminal is gone).

use tokio::sync::mpsc;

/// Listens from the beginning, so that an interruption while a pod is being created is not lost.
pub struct Interrupt(mpsc::UnboundedReceiver<u8>);

impl Interrupt {
    pub fn listen() -> Self {
        let (send, receive) = mpsc::unbounded_channel();
        listen(&send);
        Self(receive)
    }

    /// Waits for an interruption; returns the exit status for it.
    pub async fn comes(&mut self) -> u8 {
        match self.0.recv().await {
            Some(status) => status,
            None => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
fn listen(send: &mpsc::UnboundedSender<u8>) {
    use tokio::signal::unix::{SignalKind, signal};
    for (kind, number) in
        [(SignalKind::interrupt(), 2), (SignalKind::terminate(), 15), (SignalKind::hangup(), 1)]
    {
        let send = send.clone();
        let Ok(mut signals) = signal(kind) else { continue };
        tokio::spawn(
            async move { while signals.recv().await.is_some() && send.send(128 + number).is_ok() {} },
        );
    }
}

#[cfg(not(unix))]
fn listen(send: &mpsc::UnboundedSender<u8>) {
    let send = send.clone();
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && send.send(128 + 2).is_ok() {} });
}
