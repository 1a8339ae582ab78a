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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use streams::client::Session;
    use streams::remote_command::Options;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_real_server_is_asked_with_credentials() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(String::new()));
        let served = Arc::clone(&seen);
        let serving = async move {
            let (stream, _) = listener.accept().await.expect("a client");
            crate::fake::node::serve(stream, move |head| {
                let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
                let line = ["host", "authorization", "impersonate-user", "impersonate-group"]
                    .map(|name| header(name).unwrap_or_default().to_owned());
                *served.lock().expect("nobody panicked") = line.join(" ");
            })
            .await;
            // What was upgraded goes on by itself.
            std::future::pending::<()>().await;
        };
        let mut config = Config::new(format!("http://127.0.0.1:{port}").parse().expect("an address"));
        config.auth_info.token = Some("secret".to_owned().into());
        config.auth_info.impersonate = Some("ada".to_owned());
        config.auth_info.impersonate_groups = Some(vec!["admins".to_owned()]);
        let dialer = Dialer::Real(Box::new(config));
        let asking = async {
            let command = vec!["echo".to_owned(), "hello".to_owned()];
            let options = Options { stdout: true, command, ..Options::default() };
            let path = format!("/api/v1/namespaces/default/pods/web/exec?{}", options.query());
            let request = dialer.request(&path).await.expect("credentials");
            let mut session = Session::begin(&dialer, &request, &options).await.expect("a server");
            let mut heard = String::new();
            session.stdout.take().expect("asked for").read_to_string(&mut heard).await.expect("it speaks");
            (heard, session.outcome.wait().await)
        };
        let (heard, outcome) = tokio::select! {
            biased;
            answered = asking => answered,
            () = serving => panic!("the server ended"),
        };
        assert_eq!((heard.as_str(), outcome), ("hello\n", Ok(0)));
        let seen = seen.lock().expect("nobody panicked").clone();
        assert_eq!(seen, format!("127.0.0.1:{port} Bearer secret ada admins"));
    }
}
