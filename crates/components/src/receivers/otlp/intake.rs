//! What both transports do with a request between its headers and its answer.
//!
//! In this order: is the signal served, is there room for the call, may the sender send, is there room for a body (all
//! before anything of that is read); then the body is decompressed, transcoded and checked; then it is offered to the
//! inlet. Every step that turns a request away counts it, once.
//!
//! It knows neither sockets nor how an answer looks on the wire.

use super::status::{Code, Partial, Status};
use crate::receivers::Inlets;
use bytes::Bytes;
use flow::{Inlet, Kind, Meta, Payload, Permit, Refusal};
use http::{HeaderMap, HeaderName};
use net::auth::Authenticator;
use net::calls::{HalfOpen, OpenCall};
use net::compression::{DecompressError, Encoding, decompress_and_note};
use net::heavy::heavy;
use net::origin::Kept;
use net::seats::Seats;
use net::told::told;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use wire::json::JsonError;
use wire::{Census, CheckLimits, Chunks, Compressed, Malformed, Signal};

/// The longest tenant name; a longer one counts as none.
const MAX_TENANT: usize = 128;

/// Work beyond these sizes is done away from the runtime's workers.
const HEAVY_PACKED: usize = 64 << 10;
const HEAVY_PLAIN: usize = 1 << 20;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

/// A body as it arrived.
pub(super) struct Packed {
    pub signal: Signal,
    pub encoding: Encoding,
    pub form: Form,
    pub body: Bytes,
    /// The largest size after decompression.
    pub limit: usize,
}

/// A body that was found sound, with the permit that holds its bytes.
pub(super) struct Unpacked {
    signal: Signal,
    body: Chunks,
    records: u32,
    permit: Permit,
    /// Where the first field of a JSON body stands that nobody knows, if the body holds no record: nothing of it was understood.
    unknown: Option<String>,
}

/// A request that may send its body.
pub(super) struct Admitted {
    /// Kept until it is answered.
    pub call: OpenCall,
    pub permit: Permit,
    pub meta: Arc<Meta>,
}

/// Records of a request from which on it pays to keep the places of their trace ids,
const WORTH_NOTING: usize = 8;
/// which then take less than one part of so many of what the request takes.
const NOTES_PART: usize = 16;
/// Places that a thread keeps room for.
const KEPT: usize = 64 * 1024;

thread_local! {
    static TRACES: RefCell<Vec<u32>> = RefCell::default();
}

/// See the module.
pub(super) struct Intake {
    pub inlets: Inlets,
    pub seats: Seats,
    pub authenticator: Option<Authenticator>,
    pub tenant_header: Option<HeaderName>,
    pub kept: Kept,
    pub limits: CheckLimits,
}

impl Intake {
    pub fn inlet(&self, signal: Signal) -> &Inlet {
        self.inlets.of(signal)
    }

    /// Everything that can be decided from the headers, the sender's address, and the count of half-open calls on its connection. The caller must not
    /// read a body before.
    pub async fn admit(
        &self,
        signal: Signal,
        headers: &HeaderMap,
        (peer, half_open): (IpAddr, &HalfOpen),
    ) -> Result<Admitted, Status> {
        let (call, mut permit) =
            self.seats.open_call(headers, half_open).map_err(|refusal| self.refused(signal, refusal))?;
        if let Some(auth) = &self.authenticator
            && !auth.allows(headers).await
        {
            self.inlet(signal).count_refused(Kind::Auth);
            return Err(Status::new(Code::Unauthenticated, "missing or wrong credentials"));
        }
        let tenant = self.tenant(headers);
        let origin = self.kept.of(headers, peer, self.authenticator.as_ref());
        tenant
            .map_or(Ok(()), |tenant| permit.of_tenant(tenant))
            .and_then(|()| permit.burden(origin.size()))
            .map_err(|refusal| self.refused(signal, refusal))?;
        Ok(Admitted { call, permit, meta: Meta::of(tenant, origin) })
    }

    fn tenant<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let value = headers.get(self.tenant_header.as_ref()?)?.to_str().ok()?.trim();
        (!value.is_empty() && value.len() <= MAX_TENANT && !value.contains('\t')).then_some(value)
    }

    /// The answer to a refusal that happened before the inlet knew the request.
    pub fn refused(&self, signal: Signal, refusal: Refusal) -> Status {
        self.inlet(signal).count_refused(refusal.why.kind);
        refusal.into()
    }

    /// The answer to a request beyond a limit.
    pub fn too_large(&self, signal: Signal, what: &str, limit: usize) -> Status {
        self.inlet(signal).count_refused(Kind::TooLarge);
        Status::too_large(what, limit)
    }

    /// The answer to a request that is broken.
    pub fn malformed(&self, signal: Signal, status: Status) -> Status {
        self.inlet(signal).count_malformed();
        status
    }

    /// Decompresses, transcodes and checks.
    pub async fn unpack(self: &Arc<Self>, packed: Packed, permit: Permit) -> Result<Unpacked, Status> {
        let cheap = packed.encoding == Encoding::Identity && packed.form == Form::Protobuf;
        if packed.body.len() <= if cheap { HEAVY_PLAIN } else { HEAVY_PACKED } {
            return self.unpack_now(packed, permit);
        }
        let intake = self.clone();
        heavy(move || intake.unpack_now(packed, permit)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "unpacking a request failed");
            Err(Status::new(Code::Internal, "internal error").with_http(http::StatusCode::INTERNAL_SERVER_ERROR))
        })
    }

    fn unpack_now(&self, packed: Packed, mut permit: Permit) -> Result<Unpacked, Status> {
        let Packed { signal, encoding, form, mut body, limit } = packed;
        let mut compressed = None;
        if encoding != Encoding::Identity {
            let decompressed = decompress_and_note(encoding, &body, limit, |n| permit.grow(n));
            let (plain, came_in) = decompressed.map_err(|error| match error {
                DecompressError::TooLarge(limit) => self.too_large(signal, "the decompressed request", limit),
                DecompressError::Corrupt(_) => self.malformed(signal, Status::invalid(format!("the body {error}"))),
                DecompressError::Refused(refusal) => self.refused(signal, refusal),
            })?;
            body = plain;
            compressed = came_in.filter(|came| self.keeps(signal, form, came, &permit));
            permit.shrink(body.len() + compressed.as_ref().map_or(0, Compressed::held));
        }
        let mut unknown = None;
        if form == Form::Json {
            (body, unknown) = self.transcode(signal, &body, limit, &mut permit)?;
            permit.shrink(body.len());
        }
        let (census, mut body) =
            self.check(signal, body).map_err(|error| self.malformed(signal, Status::invalid(error.to_string())))?;
        if let Some(compressed) = compressed {
            body = body.with_compressed([compressed]);
        }
        let Ok(records) = u32::try_from(census.records) else {
            return Err(self.too_large(signal, "the request", u32::MAX as usize));
        };
        unknown = unknown.filter(|_| records == 0);
        if unknown.is_some() {
            self.inlet(signal).stats().not_understood.add(1);
        }
        Ok(Unpacked { signal, body, records, permit, unknown })
    }

    /// Whether what a request came in is kept beside it: it may leave so, and memory is plenty.
    fn keeps(&self, signal: Signal, form: Form, came: &Compressed, permit: &Permit) -> bool {
        form == Form::Protobuf && !permit.is_tight() && self.inlet(signal).keeps(came.coding())
    }

    /// Checks a request; that is when its trace ids are passed, so whoever routes by them need not look for them.
    fn check(&self, signal: Signal, body: Bytes) -> Result<(Census, Chunks), Malformed> {
        TRACES.with_borrow_mut(|traces| {
            let census = wire::check_and_note(signal, &body, &self.limits, traces)?;
            let is_worth = traces.len() >= WORTH_NOTING && size_of_val(&traces[..]) * NOTES_PART <= body.len();
            let body = if is_worth { Chunks::noted(body, traces.as_slice().into()) } else { body.into() };
            if traces.capacity() > KEPT {
                *traces = Vec::new();
            }
            Ok((census, body))
        })
    }

    /// The protobuf of a JSON body, and where the first field of that stands that nobody knows.
    fn transcode(
        &self,
        signal: Signal,
        json: &[u8],
        limit: usize,
        permit: &mut Permit,
    ) -> Result<(Bytes, Option<String>), Status> {
        // Lists of doubles are what grows most on the way: "0," becomes eight bytes.
        permit.grow(json.len().saturating_mul(4).min(limit)).map_err(|refusal| self.refused(signal, refusal))?;
        match wire::json::to_protobuf_and_note(wire::schema::request(signal), json, limit) {
            Ok((body, unknown)) => Ok((body.into(), unknown)),
            Err(JsonError::TooLarge { limit }) => Err(self.too_large(signal, "the request as protobuf", limit)),
            Err(error) => Err(self.malformed(signal, Status::invalid(error.to_string()))),
        }
    }

    /// Hands it over; what comes back is the answer: how many records were left out, and why. Both without a record left out: a warning.
    pub async fn offer(&self, unpacked: Unpacked, meta: Arc<Meta>) -> Result<Option<Partial>, Status> {
        let Unpacked { signal, body, records, permit, unknown } = unpacked;
        let payload = Payload { signal, body, records, meta };
        let accepted = self.inlet(signal).offer(payload, permit).await.map_err(Status::from)?;
        let warning =
            || unknown.map(|place| Partial::warning(format!("nothing was understood: unknown field {place}")));
        Ok(accepted.rejected().map(|(records, why)| Partial::new(records, told(why))).or_else(warning))
    }
}
