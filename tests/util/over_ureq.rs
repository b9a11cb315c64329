//! The connector for ureq that the tests and the soak share.

use std::io::BufReader;
use std::time::Duration;

use sse_io::client::{Connect, ConnectError, Request, Response};
use ureq::Agent;
use ureq::Error::{self, ConnectProxyFailed, HostNotFound, Io, Timeout};

/// ureq as the module's documentation recommends it; silence longer than `patience` is an error.
#[derive(Debug)]
pub struct Ureq {
    pub url: String,
    pub patience: Duration,
}

impl Connect for Ureq {
    type Body = BufReader<ureq::BodyReader<'static>>;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<Self::Body>, ConnectError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(self.patience))
            .timeout_per_read(Some(self.patience));
        let agent = config.build().new_agent();
        let headers = request.headers();
        let call = headers.fold(agent.get(&self.url), |call, (name, value)| {
            call.header(name, value)
        });
        request.on_close(move || agent.shutdown());
        let passes =
            |e: &Error| matches!(e, Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_));
        let result = call
            .call()
            .map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
        let (head, body) = result?
            .map(|body| BufReader::new(body.into_reader()))
            .into_parts();
        Ok(Response::from_head(
            head.status,
            |name| head.headers.get(name),
            body,
        ))
    }
}
