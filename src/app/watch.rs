//! What the listener tells about itself, as metrics and records.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::Handle;
use crate::config::settings::Protocol;
use crate::control::surge::Raise;
use crate::proxy::Recorder;
use crate::proxy::listen::{self, Observer, Peer, Refuse, Refused};
use crate::telemetry::{ConnectionRefused, Handshake, ListenerKind, Metrics, QueueDepth};
use crate::types::Event;

/// What the listener tells, as metrics and records.
pub(super) struct Watch {
    pub(super) handle: Arc<Handle>,
    pub(super) recorder: Recorder,
    pub(super) metrics: Metrics,
}

impl Observer for Watch {
    fn connection_opened(&self, protocol: Protocol) {
        self.metrics.connection_opened(listener_kind(protocol));
    }

    fn connection_closed(&self, protocol: Protocol) {
        self.metrics.connection_closed(listener_kind(protocol));
    }

    fn connection_refused(&self, reason: Refused) {
        self.metrics.connection_refused(match reason {
            Refused::AddressCap => ConnectionRefused::PerAddress,
            Refused::UntrustedProxy | Refused::ProxyHeader => ConnectionRefused::ProxyProtocol,
        });
    }

    fn handshake(&self, outcome: listen::Handshake) {
        self.metrics.handshake(match outcome {
            listen::Handshake::Done => Handshake::Ok,
            listen::Handshake::Failed => Handshake::Failed,
            listen::Handshake::TimedOut => Handshake::Timeout,
        });
    }

    fn request_refused(&self, peer: &Peer, refuse: &Refuse) {
        self.recorder.refused_by_listener(self.handle.load().generation, peer, refuse);
    }
}

fn listener_kind(protocol: Protocol) -> ListenerKind {
    match protocol {
        Protocol::Https => ListenerKind::Https,
        Protocol::Http => ListenerKind::Http,
        Protocol::Unix => ListenerKind::Unix,
    }
}

/// How full the queue of events is, as a metric.
pub(super) fn watch_queue(metrics: &Metrics, sender: &mpsc::Sender<Event>) {
    let sender = sender.downgrade();
    metrics.watch_event_queue(move || {
        let (capacity, free) = sender.upgrade().map_or((0, 0), |sender| (sender.max_capacity(), sender.capacity()));
        QueueDepth { waiting: capacity.saturating_sub(free) as u64, capacity: capacity as u64 }
    });
}

/// Raises alarms into the queue of events; one that finds no room is counted. It does not keep the queue open.
pub(super) fn raise(sender: &mpsc::Sender<Event>, metrics: &Metrics) -> Raise {
    let (sender, metrics) = (sender.downgrade(), metrics.clone());
    Box::new(move |alarm| {
        let Some(sender) = sender.upgrade() else { return };
        if sender.try_send(Event::Alarm(Box::new(alarm))).is_err() {
            metrics.event_dropped();
        }
    })
}
