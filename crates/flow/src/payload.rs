//! What travels: an OTLP export request as bytes, with its signal, its record count and where it came from.

use crate::{Ack, Origin};
use std::sync::{Arc, LazyLock};
use wire::{Chunks, Signal};

/// What is known of the sender of a request, shared by all its pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The tenant the sender named, when a tenant header is configured.
    pub tenant: Option<Arc<str>>,
    /// What else is known of it, as far as anything asks for it.
    pub origin: Origin,
}

static NO_META: LazyLock<Arc<Meta>> = LazyLock::new(Arc::default);

impl Meta {
    /// Of a tenant, and nothing else.
    pub fn of_tenant(tenant: impl Into<Arc<str>>) -> Meta {
        Meta { tenant: Some(tenant.into()), origin: Origin::default() }
    }

    /// Of these; without either it is shared.
    #[must_use]
    pub fn of(tenant: Option<&str>, origin: Origin) -> Arc<Meta> {
        if tenant.is_none() && origin.is_empty() {
            return Meta::none();
        }
        Arc::new(Meta { tenant: tenant.map(Into::into), origin })
    }

    /// Nothing is known; shared, so that it costs a reference count.
    #[must_use]
    pub fn none() -> Arc<Meta> {
        NO_META.clone()
    }
}

/// An OTLP `Export…ServiceRequest` in protobuf. Cheap to clone: the bytes are shared.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Logs, traces or metrics.
    pub signal: Signal,
    /// The encoded request. Several chunks are one message: concatenated export requests are their merged request.
    pub body: Chunks,
    /// Log records, spans or data points in it.
    pub records: u32,
    /// Who sent it.
    pub meta: Arc<Meta>,
}

impl Payload {
    /// A payload of unknown origin.
    pub fn new(signal: Signal, body: impl Into<Chunks>, records: u32) -> Payload {
        Payload { signal, body: body.into(), records, meta: Meta::none() }
    }

    /// Encoded size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// No bytes at all: a legal, empty request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.len() == 0
    }
}

/// A payload together with the duty to say what became of it. Not `Clone`: that duty exists once.
#[derive(Debug)]
pub struct Batch {
    /// The data.
    pub payload: Payload,
    /// The duty.
    pub ack: Ack,
}
