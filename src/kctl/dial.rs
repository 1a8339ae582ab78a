//! Connections of their own, for what is more than a request and its answer: commands, forwarded ports.

use std::io;

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use kube::Config;
use kube::client::{Body, ConfigExt};
use streams::client::Dial;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service, ServiceBuilder, ServiceExt};

/// What an open connection can do.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Opens connections to a server.
#[derive(Clone)]
pub enum Dialer {
    /// To a real one, as the kubeconfig has it.
    Real(Box<Config>),
    /// To one of a test.
    #[cfg(test)]
    Fake(crate::fake::Fake),
}

impl Dialer {
    /// A request with the credentials that every request to this server has.
    ///
    /// # Errors
    /// When the credentials are not to be had.
    pub async fn request(&self, path: &str) -> Result<Request<()>, String> {
        let config = match self {
            Self::Real(config) => config,
            #[cfg(test)]
            Self::Fake(_) => return Request::get(path).body(()).map_err(|error| error.to_string()),
        };
        let said = |error: kube::Error| error.to_string();
        // What would be sent is taken from the last of the layers that kube's own requests go through.
        let last = tower::service_fn(async |request: Request<Body>| {
            let (head, _) = request.into_parts();
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(head.headers);
            Ok::<_, tower::BoxError>(response)
        });
        let layers = ServiceBuilder::new()
            .option_layer(config.auth_layer().map_err(said)?)
            .layer(config.extra_headers_layer().map_err(said)?);
        let plain = Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
        let answer = layers.service(last).oneshot(plain).await.map_err(|error| error.to_string())?;
        let mut request = Request::get(path).body(()).map_err(|error| error.to_string())?;
        request
            .headers_mut()
            .extend(answer.extensions().get::<http::HeaderMap>().cloned().unwrap_or_default());
        let host = config.cluster_url.authority().map(|authority| authority.as_str().parse());
        if let Some(Ok(host)) = host {
            request.headers_mut().insert(http::header::HOST, host);
        }
        Ok(request)
    }
}

impl Dial for Dialer {
    type Stream = Box<dyn Connection>;

    async fn dial(&self) -> io::Result<Self::Stream> {
        match self {
            Self::Real(config) => {
                let mut connector = config.rustls_https_connector().map_err(io::Error::other)?;
                let url: Uri = config.cluster_url.clone();
                std::future::poll_fn(|context| Service::<Uri>::poll_ready(&mut connector, context))
                    .await
                    .map_err(io::Error::other)?;
                let stream = connector.call(url).await.map_err(io::Error::other)?;
                Ok(Box::new(TokioIo::new(stream)))
            }
            #[cfg(test)]
            Self::Fake(fake) => Ok(Box::new(fake.dialed())),
        }
    }
}
