//! A connection whose other end is in memory: iVALT's answer as it comes out of TLS.

use std::fmt;
use std::time::Duration;

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport,
};

use super::*;

/// What iVALT sends.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Every byte of it.
    pub bytes: Arc<[u8]>,
    /// How many arrive at once, at least one.
    pub piece: usize,
    /// What happens behind the last.
    pub end: End,
}

/// How the connection ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// TLS's close_notify.
    Closed,
    /// Without it.
    Cut,
}

/// Makes of the bytes of a request those of the answer.
pub type Service = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

impl Client {
    /// One validation against `answer`, with everything but names, TCP and TLS as in a login.
    #[must_use]
    pub fn validate_against(answer: Sent, key: Secret, mobile: &str, token: &Secret) -> Exchange {
        let roots = Roots::from_pem("nowhere".into(), Vec::new());
        let mut client = Self::over(answer, key, Arc::new(roots));
        client.validate_global_rest_auth(mobile, token)
    }

    /// As [`Client::new`] for a service in memory that closes each connection after its answer.
    #[must_use]
    pub fn served_by(service: Service, key: Secret, roots: Arc<Roots>) -> Self {
        Self::over(Served(service), key, roots)
    }

    fn over(connector: impl Connector, key: Secret, roots: Arc<Roots>) -> Self {
        let timeout = Duration::from_secs(30);
        let parts = ConnectorParts {
            roots,
            look_up: |_, _, _| Err(LookUpFailed::NoAddress("names are not looked up here")),
            progress: Progress::begin(timeout),
        };
        Self {
            url: "https://192.0.2.1/admin".to_owned(),
            key,
            timeout,
            agent: Agent::with_parts(config(timeout, None), connector, parts.resolver()),
            slot: ConnectionSlot::default(),
            platform: Platform {
                look_up: parts.look_up,
                spawn: |_| Err(io::ErrorKind::Unsupported.into()),
                pause: |_| {},
                boot_clock: || Duration::ZERO,
            },
            parts,
            preconnection: None,
        }
    }
}

struct Served(Service);

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl Connector for Served {
    type Out = FromMemory;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<FromMemory>, Error> {
        let end = End::Closed;
        let (bytes, piece) = (Arc::default(), usize::MAX);
        Ok(Some(FromMemory {
            service: Some(Arc::clone(&self.0)),
            ..FromMemory::new(details, Sent { bytes, piece, end })
        }))
    }
}

impl Connector for Sent {
    type Out = FromMemory;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<FromMemory>, Error> {
        Ok(Some(FromMemory::new(details, self.clone())))
    }
}

/// The connection.
pub struct FromMemory {
    buffers: LazyBuffers,
    /// Until the answer is made.
    service: Option<Service>,
    request: Vec<u8>,
    sent: Sent,
    at: usize,
}

impl FromMemory {
    fn new(details: &ConnectionDetails, sent: Sent) -> Self {
        let config = details.config;
        Self {
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            service: None,
            request: Vec::new(),
            sent,
            at: 0,
        }
    }
}

impl fmt::Debug for FromMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromMemory")
    }
}

impl Transport for FromMemory {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.request
            .extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        if let Some(service) = self.service.take() {
            self.sent.bytes = service(&self.request).into();
        }
        let space = self.buffers.input_append_buf();
        let left = &self.sent.bytes[self.at..];
        let amount = left.len().min(space.len()).min(self.sent.piece.max(1));
        space[..amount].copy_from_slice(&left[..amount]);
        self.at += amount;
        if left.is_empty() && matches!(self.sent.end, End::Cut) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        true
    }

    fn is_tls(&self) -> bool {
        true
    }
}
