//! The values of labels that no room below has an enum for.

/// Which limit held a request off: the rate or the concurrency of one address or one user, the requests in flight, the
/// bytes of bodies in memory, the event queue. Any other word counts as the last of these.
pub(super) const SCOPES: &[&str] = &[
    "address",
    "user",
    "in_flight",
    "body_bytes",
    "event_queue",
    "requests",
    "tokens",
    "budget",
    "concurrency",
    "other",
];

macro_rules! labels {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal),+ $(,)? })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            pub enum $name {
                $($(#[doc = $variant_doc])+ $variant),+
            }

            impl $name {
                /// Every value's label, in the order of the enum.
                pub const NAMES: &[&'static str] = &[$($text),+];

                /// Its label.
                pub const fn name(self) -> &'static str {
                    match self { $(Self::$variant => $text),+ }
                }
            }
        )+
    };
}

labels! {
    /// What a listener speaks.
    ListenerKind {
        /// TLS.
        Https = "https",
        /// In clear.
        Http = "http",
        /// A Unix socket.
        Unix = "unix",
        /// The ops listener.
        Ops = "ops",
    }
    /// Why a connection was closed before it was served.
    ConnectionRefused {
        /// Too many from one address.
        PerAddress = "per_address",
        /// Too many in all.
        Total = "total",
        /// A PROXY protocol header that is missing, broken or from a peer that is not trusted.
        ProxyProtocol = "proxy_protocol",
        /// The address is blocked.
        Blocked = "blocked",
        /// Too many on the ops listener.
        Ops = "ops",
    }
    /// How a TLS handshake went.
    Handshake {
        /// It was completed.
        Ok = "ok",
        /// It failed.
        Failed = "failed",
        /// It took too long.
        Timeout = "timeout",
    }
    /// A part that may fail open.
    Part {
        /// Inspecting prompts.
        InputInspection = "input_inspection",
        /// Inspecting answers.
        OutputInspection = "output_inspection",
        /// Asking other people's models.
        Models = "models",
    }
    /// How asking a model went.
    ModelCall {
        /// It answered.
        Ok = "ok",
        /// Not in time.
        Timeout = "timeout",
        /// Its queue was full.
        Busy = "busy",
        /// More text was in question than may be asked about at once.
        TooMuch = "too_much",
        /// The service is left alone for a while after several failures.
        BreakerOpen = "breaker_open",
        /// The service did not want this text: a status from 400 on that is not about who asks or how often.
        Refused = "refused",
        /// The service could not be reached, or broke off.
        Unreachable = "unreachable",
        /// The service answered with another status than 200.
        Status = "status",
        /// The answer is not what the contract says.
        BadAnswer = "bad_answer",
        /// The model itself failed.
        Broken = "broken",
    }
    /// What became of a notice.
    NoticeResult {
        /// Its receiver took it.
        Sent = "sent",
        /// Not now: trying again may help.
        Failed = "failed",
        /// Never: the receiver does not want it, or must not be called.
        Refused = "refused",
        /// Its channel is left alone for a while after several failures.
        BreakerOpen = "breaker_open",
    }
    /// What became of an entry that a sink of exports should be sent.
    ExportResult {
        /// Its receiver took it.
        Sent = "sent",
        /// Its receiver refused it for good: it is a dead letter.
        Dead = "dead",
        /// Too much waited, and it was the oldest.
        Dropped = "dropped",
        /// It was not kept as long as it would have had to wait.
        Lost = "lost",
    }
    /// Why a try of a sink of exports failed.
    ExportFailure {
        /// No connection, or it broke.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// The receiver wants less (408, 425, 429).
        Throttled = "throttled",
        /// The receiver has trouble of its own (5xx), or did not confirm.
        Receiver = "receiver",
        /// The receiver does not know us, or not this address (401, 403, 404 and the like): somebody has to look.
        Denied = "denied",
        /// The receiver refused what was sent.
        Refused = "refused",
        /// The disk.
        Disk = "disk",
        /// Our own store or audit trail.
        Store = "store",
    }
    /// Where a circuit breaker stands; the number of each is what its gauge shows.
    BreakerState {
        /// Everything passes.
        Closed = "closed",
        /// One was let through to see whether it works again.
        HalfOpen = "half_open",
        /// Nothing passes.
        Open = "open",
    }
    /// What the security operations centre asks a model for.
    ModelPurpose {
        /// What happened, and what to do.
        Analyst = "analyst",
        /// Whether a plan is sound.
        Reviewer = "reviewer",
        /// Vectors of texts.
        Embeddings = "embeddings",
    }
    /// Whose vectors ranked a search.
    SearchBy {
        /// Our own; no model is configured.
        Own = "own",
        /// A model's.
        Model = "model",
        /// Our own, because the model had none.
        Fallback = "fallback",
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionRefused, ListenerKind};

    #[test]
    fn a_label_stands_where_its_enum_says() {
        assert_eq!(ListenerKind::NAMES.get(ListenerKind::Ops as usize), Some(&ListenerKind::Ops.name()));
        assert_eq!(ConnectionRefused::NAMES.get(ConnectionRefused::Blocked as usize), Some(&"blocked"));
    }
}
