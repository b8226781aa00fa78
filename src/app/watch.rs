//! What the listener tells about itself, as metrics and records.

use std::sync::Arc;

use crate::config::Handle;
use crate::config::settings::Protocol;
use crate::control::surge::Raise;
use crate::proxy::Recorder;
use crate::proxy::listen::{self, Observer, Peer, Refuse, Refused};
use crate::telemetry::{ConnectionRefused, Events, Handshake, ListenerKind, Metrics};
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

/// Raises alarms into the queue of events. It does not keep the queue open.
pub(super) fn raise(events: &Events) -> Raise {
    let events = events.downgrade();
    Box::new(move |alarm| events.send(Event::Alarm(Box::new(alarm))))
}
